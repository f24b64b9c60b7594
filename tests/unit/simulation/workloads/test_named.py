from __future__ import annotations

import pytest

from epp.simulation.workloads.catalogue import CATALOGUE
from epp.simulation.workloads.named import workload_named


def test_a_name_of_the_catalogue() -> None:
    assert workload_named("zipf") is CATALOGUE["zipf"]


def test_a_drawn_one_by_its_number() -> None:
    assert workload_named("drawn-12").name == "drawn-12"


@pytest.mark.parametrize("name", ["", "drawn-", "drawn-x", "drawn--1", "drawn-1 ", "Zipf"])
def test_others_are_said_to_be_unknown(name: str) -> None:
    with pytest.raises(ValueError, match=r"is unknown; there are b2b-saas, .*drawn-1"):
        workload_named(name)
