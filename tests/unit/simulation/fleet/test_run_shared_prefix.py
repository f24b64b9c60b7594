"""Runs in which a prompt that nobody has cached is suddenly the beginning of very many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from epp.simulation.workloads.arrivals import Timed
from epp.simulation.workloads.turns import Session, Texts, Turn
from tests.unit.simulation.fleet.runs import fleet_of, short_run

FLEET = fleet_of("8x32b-h100-tp2")
ORDINARY = [n / 4 for n in range(160)]
SHARED = [40.0 + n / 80 for n in range(1600)]


def sessions() -> Iterator[Session]:
    texts = Texts()
    begun = texts.new(30_000)
    for n in range(len(ORDINARY)):
        yield (Turn((texts.new(200 + n % 7 * 200),), 100 + n % 5 * 40),)
    while True:
        yield (Turn((begun, texts.new(60)), 130),)


@pytest.mark.parametrize("sees_tokens", [True, False], ids=["full", "light"])
def test_all_servers_have_it_before_one_is_swamped(sees_tokens: bool) -> None:
    run = short_run(
        FLEET,
        "marginal-cost",
        sessions(),
        Timed((*ORDINARY, *SHARED)),
        sees_tokens=sees_tokens,
        warmup_seconds=40.0,
    )
    records = run.run()
    asked = [record for record in records.requests if record.asked_at >= 40.0]
    assert len(asked) == 1600
    fewest, *_, most = sorted(Counter(record.server for record in asked).values())
    assert fewest * 3 > most
    last = [record for record in asked if record.asked_at > 55.0]
    assert sum(record.ttft_seconds < 0.5 for record in last) > 0.9 * len(last)
