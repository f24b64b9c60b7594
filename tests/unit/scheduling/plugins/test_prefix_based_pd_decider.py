from __future__ import annotations

import pytest

from epp.scheduling.plugins.prefix_based_pd_decider import PrefixBasedPdDecider
from tests.helpers.build import a_request, an_endpoint

DECODER, OTHER = an_endpoint(), an_endpoint()


@pytest.mark.parametrize(
    ("decider", "prompt", "cached", "needed"),
    [
        pytest.param(PrefixBasedPdDecider(), 10_000, 0, False, id="zero-is-never"),
        pytest.param(PrefixBasedPdDecider(100), 99, 0, False, id="short"),
        pytest.param(PrefixBasedPdDecider(100), 100, 0, True, id="at-the-threshold"),
        pytest.param(PrefixBasedPdDecider(100), 1000, 900, True, id="cached-up-to-the-threshold"),
        pytest.param(PrefixBasedPdDecider(100), 1000, 901, False, id="cached"),
        pytest.param(PrefixBasedPdDecider(100), 1000, 1024, False, id="cached-beyond-the-prompt"),
        pytest.param(PrefixBasedPdDecider(16, 500), 499, 0, False, id="below-prompt-tokens"),
        pytest.param(PrefixBasedPdDecider(16, 500), 500, 0, True, id="at-prompt-tokens"),
        pytest.param(PrefixBasedPdDecider(0, 500), 5000, 0, False, id="prompt-tokens-alone"),
    ],
)
def test_what_the_decoder_lacks(
    decider: PrefixBasedPdDecider, prompt: int, cached: int, needed: bool
) -> None:
    request = a_request(prompt_tokens=prompt, cached_tokens={DECODER: cached, OTHER: prompt})
    assert decider.needed(request, DECODER) is needed


def test_before_the_decoder_is_known_nothing_is_decided() -> None:
    assert not PrefixBasedPdDecider(1).needed(a_request(prompt_tokens=9), None)


def test_short_prompts_do_not_wait_for_prefillers() -> None:
    decider = PrefixBasedPdDecider(100, 300)
    short, long = a_request(prompt_tokens=299), a_request(prompt_tokens=300)
    assert decider.fit_key(short) != decider.fit_key(long)
    assert decider.fit_key(long) == decider.fit_key(a_request(prompt_tokens=9999))


@pytest.mark.parametrize("wrong", [{"non_cached_tokens": -1}, {"prompt_tokens": -1}])
def test_thresholds_are_not_negative(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="is below zero"):
        PrefixBasedPdDecider(**wrong)
