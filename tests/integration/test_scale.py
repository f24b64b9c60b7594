"""Hundreds of answers at once through Envoy, each whole; the benchmark takes thousands."""

from __future__ import annotations

import pytest

from epp.envoyconfig.settings import Mode
from tests.helpers.crowd import GOLANG, Crowd, build_programs, let_in

pytestmark = pytest.mark.skipif(
    GOLANG is None, reason="clients and servers are Go programs, and there is no `go` on the path"
)


@pytest.fixture(scope="module", autouse=True)
def _programs() -> None:
    build_programs()


@pytest.mark.parametrize(
    "crowd",
    [
        Crowd(Mode.FULL, answers=300, chunks=100, gap_ms=20),
        Crowd(Mode.LIGHT, answers=1000, chunks=4, gap_ms=500, sharing=100),
    ],
    ids=["full", "light"],
)
def test_every_answer_is_whole_and_picked_by_us(crowd: Crowd) -> None:
    facts = let_in(crowd)
    assert facts.faults == []
    assert (facts.ok, facts.at_once) == (crowd.answers, crowd.answers)
