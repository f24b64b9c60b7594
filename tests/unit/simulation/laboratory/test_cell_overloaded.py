"""Runs above the capacity of a fleet: who is late, and who must not be."""

from __future__ import annotations

from epp.simulation.laboratory.cell import simulate
from epp.simulation.laboratory.study import OURS, Place


def test_huge_prompts_that_cannot_all_be_served_leave_the_short_ones_alone() -> None:
    """A seed in which they once left their queue for the servers of all others: 28 % were good."""
    outcome = simulate(Place("8x32b-h100-tp2", "longmix", 105).cell(OURS, seed=110))
    assert outcome.good_share > 0.8
