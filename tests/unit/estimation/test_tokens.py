from __future__ import annotations

import pytest

from epp.estimation.tokens import MODELS, KeptShares, TokenRatios
from tests.helpers.build import an_endpoint


def test_the_ratio_of_a_model_is_learned_from_what_it_reports() -> None:
    ratios = TokenRatios()
    assert ratios.ratio("m") == 1.0
    for _ in range(100):
        ratios.learn("m", 1500, 1000.0)
    assert ratios.ratio("m") == pytest.approx(1.5, rel=0.05)
    assert ratios.ratio("other") == 1.0


def test_known_are_the_models_that_something_was_reported_of() -> None:
    ratios = TokenRatios()
    assert ratios.known() == {}
    ratios.learn("m", 100_000, 50_000.0)
    assert ratios.known() == {"m": ratios.ratio("m")}


def test_a_few_short_prompts_say_little() -> None:
    ratios = TokenRatios()
    for _ in range(5):
        ratios.learn("m", 12, 2.0)  # the template of a chat is most of it
    assert ratios.ratio("m") < 1.02


@pytest.mark.parametrize(("reported", "estimated"), [(0, 10.0), (10, 0.0)])
def test_what_was_not_counted_is_passed_over(reported: int, estimated: float) -> None:
    ratios = TokenRatios()
    ratios.learn("m", reported, estimated)
    assert ratios.ratio("m") == 1.0


def test_a_ratio_is_bounded() -> None:
    ratios = TokenRatios()
    ratios.learn("big", 10**9, 1.0)
    ratios.learn("small", 1, 1e9)
    assert (ratios.ratio("big"), ratios.ratio("small")) == (8.0, 0.125)


def test_as_many_models_as_are_remembered() -> None:
    ratios = TokenRatios()
    for n in range(MODELS + 1):
        ratios.learn(f"m{n}", 2000, 1000.0)
    assert ratios.ratio("m0") == 1.0
    assert ratios.ratio("m1") > 1.0


def test_a_server_that_computes_what_we_thought_cached_is_believed_less() -> None:
    shares, endpoint = KeptShares(), an_endpoint()
    for _ in range(100):
        shares.learn(endpoint, 500, 1000)
    assert endpoint.estimate.kept_share == pytest.approx(0.5, rel=0.1)
    shares.forget(endpoint)
    assert endpoint.estimate.kept_share == 1.0


def test_more_than_believed_is_all_of_it() -> None:
    shares, endpoint = KeptShares(), an_endpoint()
    shares.learn(endpoint, 5000, 1000)
    assert endpoint.estimate.kept_share == 1.0


def test_a_zero_of_servers_that_never_count_says_nothing() -> None:
    shares, silent, counting = KeptShares(), an_endpoint(), an_endpoint()
    for _ in range(100):
        shares.learn(silent, 0, 1000)
    assert silent.estimate.kept_share == 1.0
    shares.learn(counting, 900, 1000)
    for _ in range(100):
        shares.learn(silent, 0, 1000)
    assert silent.estimate.kept_share < 0.2
