from __future__ import annotations

import pytest

from epp.scheduling.plugins.uncached_multimodal_decider import UncachedMultimodalDecider
from tests.helpers.build import a_request, an_endpoint

DECODER, OTHER = an_endpoint(), an_endpoint()


@pytest.mark.parametrize(
    ("decider", "prompt", "cached", "needed"),
    [
        pytest.param(UncachedMultimodalDecider(), 5000, 0, True, id="new"),
        pytest.param(UncachedMultimodalDecider(), 100, 0, True, id="new-and-small"),
        pytest.param(UncachedMultimodalDecider(), 5000, 4744, True, id="one-more-image"),
        pytest.param(UncachedMultimodalDecider(), 5000, 4745, False, id="one-more-question"),
        pytest.param(UncachedMultimodalDecider(), 5000, 5024, False, id="cached-beyond-the-prompt"),
        pytest.param(UncachedMultimodalDecider(0), 5000, 5000, True, id="zero-is-always"),
    ],
)
def test_media_are_encoded_apart_unless_the_decoder_has_them(
    decider: UncachedMultimodalDecider, prompt: int, cached: int, needed: bool
) -> None:
    request = a_request(
        prompt_tokens=prompt, media_tokens=50, cached_tokens={DECODER: cached, OTHER: prompt}
    )
    assert decider.needed(request, DECODER) is needed


def test_before_the_decoder_is_known_media_are_encoded_apart() -> None:
    assert UncachedMultimodalDecider().needed(a_request(prompt_tokens=9, media_tokens=4), None)


def test_text_has_nothing_to_encode_and_waits_for_no_encoder() -> None:
    decider = UncachedMultimodalDecider()
    text, image = a_request(prompt_tokens=5000), a_request(prompt_tokens=5000, media_tokens=50)
    assert not decider.needed(text, DECODER)
    assert decider.fit_key(text) != decider.fit_key(image)


def test_the_threshold_is_not_negative() -> None:
    with pytest.raises(ValueError, match="nonCachedTokens: -1 is below zero"):
        UncachedMultimodalDecider(-1)
