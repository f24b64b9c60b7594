from __future__ import annotations

import pytest

from epp.prefixcache.blocks import hash_chain
from epp.simulation.fleet.prompts import BASE_MODEL, payload_of
from epp.simulation.fleet.segments import Segment
from epp.simulation.workloads.turns import Turn


def chain(*segments: Segment) -> tuple[int, ...]:
    return hash_chain("m", "", payload_of(Turn(segments, 1), 4.0).prompt, 16, None)


def common(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    pairs = zip(one, other, strict=False)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))


def test_the_picker_sees_equal_blocks_where_the_text_is_equal_and_nowhere_else() -> None:
    shared = Segment(1, 160)
    assert common(chain(shared, Segment(2, 320)), chain(shared, Segment(3, 320))) == 10
    assert common(chain(Segment(2, 320)), chain(Segment(3, 320))) == 0


def test_an_answer_that_is_repeated_extends_the_prefix() -> None:
    asked = chain(Segment(1, 160), Segment(2, 32))
    assert common(asked, chain(Segment(1, 160), Segment(2, 32), Segment(3, 64))) == 12


@pytest.mark.parametrize("bytes_per_token", [3.0, 4.0, 5.3])
def test_a_prompt_has_the_bytes_of_its_tokens(bytes_per_token: float) -> None:
    payload = payload_of(Turn((Segment(1, 100), Segment(2, 7)), 1), bytes_per_token)
    assert len(payload.prompt) == round(100 * bytes_per_token) + round(7 * bytes_per_token)


def test_the_model_is_the_adapter_or_the_base() -> None:
    assert payload_of(Turn((Segment(1, 1),), 1), 4.0).model == BASE_MODEL
    assert payload_of(Turn((Segment(1, 1),), 1, model="adapter-3"), 4.0).model == "adapter-3"


def test_an_image_counts_by_its_pixels_and_equal_ones_are_equal() -> None:
    image = Segment(1, 1000, image=True)
    payload = payload_of(Turn((image, Segment(2, 10)), 1), 5.0)
    assert payload.media_tokens == 765  # of 1024 pixels each, where the model has 784
    assert len(payload.prompt) == 765 * 4 + 50
    assert common(chain(image, Segment(2, 320)), chain(image, Segment(3, 320))) == 765 // 16
