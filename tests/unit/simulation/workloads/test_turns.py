from __future__ import annotations

from itertools import pairwise

from epp.simulation.fleet.segments import Segment
from epp.simulation.workloads.turns import Texts, conversation


def test_every_text_is_new_and_has_a_token_at_least() -> None:
    texts = Texts()
    found = [texts.new(tokens) for tokens in (0.2, 7.6, 100)]
    assert [segment.tokens for segment in found] == [1, 8, 100]
    assert len({segment.key for segment in found} | {texts.key()}) == 4
    assert 0 not in {segment.key for segment in found}


def test_each_turn_repeats_all_that_was_said() -> None:
    opening = (Segment(1000, 50),)
    turns = list(conversation(Texts(), opening, [(10, 20, 0.0), (5, 30, 4.0), (1, 1, 2.0)], "s"))
    sizes = [[segment.tokens for segment in turn.segments] for turn in turns]
    assert sizes == [[50, 10], [50, 10, 20, 5], [50, 10, 20, 5, 30, 1]]
    for before, after in pairwise(turns):
        said = (*before.segments, Segment(before.answer, before.output_tokens))
        assert after.segments[: len(said)] == said
    assert [turn.after_seconds for turn in turns] == [0.0, 4.0, 2.0]
    assert {turn.session for turn in turns} == {"s"}
