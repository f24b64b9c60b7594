"""What a drawn workload asks is what its kinds say, and only the number decides."""

from __future__ import annotations

from itertools import islice, pairwise
from random import Random
from statistics import fmean

import pytest

from epp.simulation.workloads.drawn import drawn_kinds, drawn_workload, mean_prompt_tokens
from epp.simulation.workloads.turns import Turn

NUMBERS = range(1, 41)


def sessions(number: int, count: int) -> list[list[Turn]]:
    drawn = drawn_workload(number).sessions(Random(5))
    return [list(session) for session in islice(drawn, count)]


def test_numbers_differ_and_equal_ones_ask_the_same() -> None:
    assert sessions(3, 30) == sessions(3, 30)
    assert len({drawn_kinds(number) for number in NUMBERS}) == len(NUMBERS)


def test_some_share_much_and_some_nothing_and_some_go_on() -> None:
    kinds = [kind for number in NUMBERS for kind in drawn_kinds(number)]
    assert {0, 1, 400} <= {kind.prefixes for kind in kinds}
    assert {1, 3, 6} == {kind.turns for kind in kinds}
    assert {len(drawn_kinds(number)) for number in NUMBERS} == {1, 2, 3}


@pytest.mark.parametrize("number", [2, 5, 9, 14])
def test_turns_and_prompts_are_what_its_kinds_say(number: int) -> None:
    found = sessions(number, 6000)
    workload = drawn_workload(number)
    assert fmean(map(len, found)) == pytest.approx(workload.turns, rel=0.05)
    prompts = [sum(s.tokens for s in turn.segments) for turns in found for turn in turns]
    assert fmean(prompts) == pytest.approx(mean_prompt_tokens(drawn_kinds(number)), rel=0.15)


@pytest.mark.parametrize("number", NUMBERS)
def test_every_one_can_be_asked(number: int) -> None:
    workload = drawn_workload(number)
    assert workload.ttft_seconds > 1.0
    assert workload.variation >= 1.0
    for turns in sessions(number, 20):
        for turn in turns:
            assert turn.segments
            assert all(segment.tokens >= 1 for segment in turn.segments)
            assert 1 <= turn.output_tokens <= 4000


def test_later_turns_begin_with_all_before() -> None:
    number = next(n for n in NUMBERS if drawn_kinds(n)[0].turns > 1)
    for turns in sessions(number, 40):
        for before, turn in pairwise(turns):
            assert turn.segments[: len(before.segments)] == before.segments
            assert turn.segments[len(before.segments)].key == before.answer
