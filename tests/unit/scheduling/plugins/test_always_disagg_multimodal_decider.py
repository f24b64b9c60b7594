from __future__ import annotations

from epp.scheduling.plugins.always_disagg_multimodal_decider import AlwaysDisaggMultimodalDecider
from tests.helpers.build import a_request, an_endpoint

DECIDER = AlwaysDisaggMultimodalDecider()


def test_media_are_encoded_apart_and_text_is_not() -> None:
    assert DECIDER.needed(a_request(prompt_tokens=9, media_tokens=1), an_endpoint())
    assert DECIDER.needed(a_request(media_tokens=1), None)
    assert not DECIDER.needed(a_request(prompt_tokens=9), an_endpoint())


def test_text_does_not_wait_for_encoders() -> None:
    text, image = a_request(), a_request(media_tokens=5)
    assert DECIDER.fit_key(text) != DECIDER.fit_key(image)
    assert DECIDER.fit_key(image) == DECIDER.fit_key(a_request(media_tokens=500))
