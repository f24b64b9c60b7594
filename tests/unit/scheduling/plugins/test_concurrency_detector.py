from __future__ import annotations

import pytest

from epp.datalayer.ledger import Ledger
from epp.scheduling.plugins.concurrency_detector import ConcurrencyDetector, ConcurrencyMode
from tests.helpers.build import a_request, an_endpoint

TOKENS, HYBRID = ConcurrencyMode.TOKENS, ConcurrencyMode.HYBRID


@pytest.mark.parametrize(
    ("detector", "requests", "tokens", "room"),
    [
        pytest.param(ConcurrencyDetector(4), 3, 0, True, id="under"),
        pytest.param(ConcurrencyDetector(4), 4, 0, False, id="at"),
        pytest.param(ConcurrencyDetector(4, 100, TOKENS), 9, 99, True, id="tokens-under"),
        pytest.param(ConcurrencyDetector(4, 100, TOKENS), 1, 100, False, id="tokens-at"),
        pytest.param(ConcurrencyDetector(4, 100, HYBRID), 1, 100, False, id="hybrid"),
    ],
)
def test_room(detector: ConcurrencyDetector, requests: int, tokens: int, room: bool) -> None:
    endpoint = an_endpoint(requests=requests, prompt_tokens=999, prefilling_tokens=tokens)
    assert (detector.with_room([endpoint], 0.0) == [endpoint]) is room
    assert (detector.keep(a_request(), [endpoint]) == [endpoint]) is room


def test_a_prompt_counts_until_its_answer_has_begun() -> None:
    ledger, endpoint = Ledger(), an_endpoint()
    detector = ConcurrencyDetector(4, 100, TOKENS)
    lease = ledger.reserve(endpoint, 150, 120)
    assert not detector.with_room([endpoint], 0.0)
    assert detector.saturation([endpoint], 0.0) == pytest.approx(1.2)
    ledger.prefilled(lease)
    assert detector.with_room([endpoint], 0.0) == [endpoint]
    assert detector.saturation([endpoint], 0.0) == 0.0


def test_saturation_is_load_over_capacity() -> None:
    pool = [an_endpoint(requests=4), an_endpoint(requests=0)]
    assert ConcurrencyDetector(4).saturation(pool, 0.0) == pytest.approx(0.5)
    assert ConcurrencyDetector(4).saturation([], 0.0) == 1.0


def test_headroom_counts_for_the_filter_only() -> None:
    endpoint = an_endpoint(requests=4)
    detector = ConcurrencyDetector(4, headroom=0.5)
    assert detector.keep(a_request(), [endpoint]) == [endpoint]
    assert not detector.with_room([endpoint], 0.0)


@pytest.mark.parametrize(
    "fields",
    [
        {"max_concurrency": 0},
        {"max_token_concurrency": 0},
        {"headroom": -1.0},
        {"headroom": float("inf")},
    ],
)
def test_wrong_parameters(fields: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"zero"):
        ConcurrencyDetector(**fields)  # type: ignore[arg-type]
