from __future__ import annotations

import math
from dataclasses import replace

import pytest

from epp.simulation.laboratory.bottleneck import REMEDIES, Resource, bottleneck
from epp.simulation.laboratory.cell import Cell, objectives_of, simulate
from epp.simulation.policies import policy

IDLE = {
    "held_up_by_memory": 0.0,
    "held_up_by_adapters": 0.0,
    "held_up_by_places": 0.0,
    "held_up_by_prefill": 0.0,
    "held_up_by_images": 0.0,
    "loading_share": 0.0,
    "prefill_share": 0.1,
    "encoding_share": 0.0,
    "decode_share": 0.3,
    "tpot_p90": 0.02,
}


@pytest.mark.parametrize(
    ("figures", "resource"),
    [
        ({}, Resource.NOTHING),
        ({"held_up_by_memory": 0.3, "prefill_share": 0.4}, Resource.MEMORY),
        ({"held_up_by_memory": 0.3, "prefill_share": 0.9}, Resource.PREFILL),
        ({"held_up_by_memory": 0.7, "prefill_share": 0.6}, Resource.MEMORY),
        ({"held_up_by_adapters": 0.08, "loading_share": 0.05}, Resource.ADAPTERS),
        ({"held_up_by_places": 0.2, "held_up_by_memory": 0.15}, Resource.PLACES),
        ({"prefill_share": 0.6}, Resource.PREFILL),
        ({"encoding_share": 0.7, "prefill_share": 0.6}, Resource.ENCODE),
        ({"decode_share": 0.95}, Resource.NOTHING),  # it decodes fast enough
        ({"decode_share": 0.95, "tpot_p90": 0.045}, Resource.DECODE),
        ({"tpot_p90": math.nan, "held_up_by_prefill": 0.7}, Resource.PREFILL),
    ],
)
def test_what_is_waited_for_comes_first_unless_prefill_takes_longer(
    figures: dict[str, float], resource: Resource
) -> None:
    assert bottleneck(IDLE | figures, 0.05).resource is resource


def test_there_is_a_remedy_for_each() -> None:
    assert set(REMEDIES) == set(Resource)


@pytest.mark.parametrize(
    ("cell", "resource"),
    [
        (Cell("rag", "2x70b-h100-tp8", 3.0, ""), Resource.PREFILL),
        (Cell("rag", "2x32b-h100-tp2", 4.0, ""), Resource.PREFILL),
        (Cell("reasoning", "4x8b-a100", 3.0, "", seconds=60.0, tpot_seconds=0.02), Resource.DECODE),
        (Cell("b2b-saas", "1x8b-l4", 1.0, ""), Resource.MEMORY),
        (Cell("lora", "1x8b-h100", 10.0, ""), Resource.ADAPTERS),
        (Cell("azure-conversation", "1x8b-h100", 6.0, "", max_num_seqs=8), Resource.PLACES),
        (Cell("azure-conversation", "4x8b-h100", 2.0, ""), Resource.NOTHING),
    ],
    ids=lambda value: value.workload if isinstance(value, Cell) else value.name,
)
def test_a_fleet_that_lacks_something_is_found_to_lack_it(cell: Cell, resource: Resource) -> None:
    figures = simulate(replace(cell, policy=policy("least-request"))).as_dict()
    found = bottleneck(figures, objectives_of(cell).tpot_seconds)
    assert found.resource is resource, (found, figures)
