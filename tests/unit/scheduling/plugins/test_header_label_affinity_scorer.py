from __future__ import annotations

import pytest

from epp.scheduling.plugins.header_label_affinity_scorer import HeaderLabelAffinityScorer
from tests.helpers.build import a_request, an_endpoint

POOL = [an_endpoint(labels={"tier": "gold"}), an_endpoint(labels={"tier": ""}), an_endpoint()]


@pytest.mark.parametrize(
    ("headers", "scores"),
    [
        ({"x-tier": "gold"}, [1.0, 0.0, 0.0]),
        ({"x-tier": "silver"}, [0.0, 0.0, 0.0]),
        ({"x-tier": ""}, [0.0, 0.0, 0.0]),
        ({}, [0.0, 0.0, 0.0]),
    ],
)
def test_scores(headers: dict[str, str], scores: list[float]) -> None:
    scorer = HeaderLabelAffinityScorer("X-Tier", "tier")
    assert scorer.score(a_request(headers=headers), POOL) == scores


@pytest.mark.parametrize(("header", "label", "text"), [("", "l", "headerName"), ("h", "", "label")])
def test_both_are_needed(header: str, label: str, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        HeaderLabelAffinityScorer(header, label)
