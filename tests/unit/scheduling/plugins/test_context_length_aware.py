from __future__ import annotations

import pytest

from epp.scheduling.plugins.context_length_aware import LABEL, ContextLengthAware
from tests.helpers.build import a_request, an_endpoint


@pytest.mark.parametrize(
    ("label", "tokens", "score"),
    [
        pytest.param(None, 100, 0.5, id="no-label"),
        pytest.param("many", 100, 0.0, id="no-range"),
        pytest.param("10-5", 7, 0.0, id="backwards"),
        pytest.param("-5-10", 7, 0.0, id="negative"),
        pytest.param("100-100", 100, 1.0, id="one-length"),
        # 0.3 + 0.7 x (0.7 x 1 / (1 + 10000/10000) + 0.3 x 7500/10000)
        pytest.param("0-10000", 2500, 0.3 + 0.7 * (0.35 + 0.225), id="inside"),
        pytest.param("0-10000", 10000, 0.3 + 0.7 * 0.35, id="at-the-end"),
        pytest.param("0-1000", 2000, 0.15, id="above"),
        pytest.param("3000-4000", 2000, 0.15, id="below"),
    ],
)
def test_scores(label: str | None, tokens: int, score: float) -> None:
    endpoint = an_endpoint(labels={} if label is None else {LABEL: label})
    request = a_request(prompt_tokens=tokens)
    assert ContextLengthAware().score(request, [endpoint]) == pytest.approx([score])


def test_a_narrower_range_is_better_and_any_range_is_better_than_none_that_fits() -> None:
    pool = [an_endpoint(labels={"l": text}) for text in ("0-2000", "0-100000", "2001-2002")]
    narrow, wide, outside = ContextLengthAware("l").score(a_request(prompt_tokens=1999), pool)
    assert narrow > wide > 0.3 > outside


POOL = [
    an_endpoint("short", labels={LABEL: "0-2000"}),
    an_endpoint("long", labels={LABEL: "2000-90000"}),
    an_endpoint("any"),
    an_endpoint("wrong", labels={LABEL: "x"}),
]


@pytest.mark.parametrize(
    ("tokens", "kept"),
    [(1999, ["short", "any"]), (2000, ["short", "long", "any"]), (90001, ["any"])],
)
def test_told_to_it_filters(tokens: int, kept: list[str]) -> None:
    filter_ = ContextLengthAware(enable_filtering=True)
    request = a_request(prompt_tokens=tokens)
    assert [endpoint.name for endpoint in filter_.keep(request, POOL)] == kept
    assert filter_.fit_key(request) == tokens


def test_untold_it_does_not() -> None:
    filter_ = ContextLengthAware()
    assert filter_.keep(a_request(prompt_tokens=90001), POOL) == POOL
    assert filter_.fit_key(a_request()) == filter_.fit_key(a_request(prompt_tokens=1))


def test_a_label_is_needed() -> None:
    with pytest.raises(ValueError, match="label: is empty"):
        ContextLengthAware("")
