from __future__ import annotations

import pytest

from epp.scheduling.plugins.active_blocks_scorer import ActiveBlocksScorer
from tests.helpers.build import a_request, an_endpoint


def test_blocks_to_prefill_and_blocks_in_use_add_up() -> None:
    endpoints = [
        an_endpoint(prompt_tokens=320),  # 10 to prefill, 20 + 10 in use
        an_endpoint(prompt_tokens=160, prefilling_tokens=160),  # 20 to prefill, 10 + 10 in use
        an_endpoint(prompt_tokens=320),  # 2 to prefill, 20 + 10 in use
    ]
    request = a_request(prompt_tokens=160, cached_tokens={endpoints[2]: 128})
    assert ActiveBlocksScorer().score(request, endpoints) == pytest.approx([0.0, 0.0, 1.0])


@pytest.mark.parametrize(("weight", "scores"), [(0.0, [0.0, 1.0]), (4.0, [1.0, 0.0])])
def test_the_weight_is_of_blocks_to_prefill(weight: float, scores: list[float]) -> None:
    warm, cold = an_endpoint(prompt_tokens=320), an_endpoint()
    request = a_request(prompt_tokens=160, cached_tokens={warm: 160})
    assert ActiveBlocksScorer(overlap_weight=weight).score(request, [warm, cold]) == scores


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"overlap_weight": -1.0}, "overlapWeight: -1.0"),
        ({"overlap_weight": float("nan")}, "overlapWeight: nan"),
        ({"block_size_tokens": 0}, "blockSizeTokens: 0"),
    ],
)
def test_wrong_parameters(fields: dict[str, float], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        ActiveBlocksScorer(**fields)  # type: ignore[arg-type]
