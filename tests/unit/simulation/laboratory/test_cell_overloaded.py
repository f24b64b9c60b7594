"""Runs above the capacity of a fleet: who is late, and who must not be."""

from __future__ import annotations

from epp.simulation.laboratory.cell import simulate
from epp.simulation.laboratory.study import OURS, Place


def test_huge_prompts_that_cannot_all_be_served_leave_the_short_ones_alone() -> None:
    """If every second of a wait counts in full they go everywhere, and 28 % of this are good."""
    outcome = simulate(Place("8x32b-h100-tp2", "longmix", 105).cell(OURS, seed=110))
    assert outcome.good_share > 0.8
