from __future__ import annotations

import pytest

from epp.estimation.lengths import ENOUGH_TOLD, LARGEST_PLACED, AnswerLengths


def test_nothing_seen_is_nothing_known() -> None:
    assert AnswerLengths().mean == 0.0


def test_what_is_generated_counts_until_enough_answers_have_ended() -> None:
    lengths = AnswerLengths()
    lengths.seen(3000.0, 10)
    assert lengths.mean == 300.0
    lengths.told(20)  # the first to end are short
    assert lengths.mean == 300.0
    for _ in range(ENOUGH_TOLD):
        lengths.told(500)
    assert lengths.mean == pytest.approx(500.0, abs=10.0)
    lengths.seen(90_000.0, 10)
    assert lengths.mean == pytest.approx(500.0, abs=10.0)


def test_a_longer_answer_that_was_told_counts_more() -> None:
    lengths = AnswerLengths()
    lengths.seen(100.0, 10)
    lengths.told(700)
    assert lengths.mean == 700.0


def test_without_usage_the_generated_tokens_follow_what_changes() -> None:
    lengths = AnswerLengths()
    for _ in range(10):
        lengths.seen(100.0 * LARGEST_PLACED, LARGEST_PLACED)
    assert lengths.mean == pytest.approx(100.0)
    for _ in range(10):
        lengths.seen(900.0 * LARGEST_PLACED, LARGEST_PLACED)
    assert lengths.mean == pytest.approx(900.0, rel=0.01)
