from __future__ import annotations

import pytest

from epp.core.decision import Endpoints, Placed, record_of
from epp.core.endpoint import Endpoint
from epp.core.fullness import Fullness
from epp.core.refusal import Reason, Refused
from epp.core.request import RequestFacts
from epp.flowcontrol.legacy import LegacyAdmission


def admission(saturation: float, *, empty: bool = False) -> LegacyAdmission:
    def attempt(facts: RequestFacts, now: float) -> Placed | None:
        if empty:
            return None
        return Placed(Endpoints((Endpoint("a", "10.0.0.1", 80),)), record_of(facts, now))

    return LegacyAdmission(attempt, lambda _facts, _now: saturation)


@pytest.mark.parametrize(
    ("priority", "saturation", "reason"),
    [
        pytest.param(0, 5.0, None, id="default-priority-is-always-admitted"),
        pytest.param(-1, 0.99, None, id="sheddable-with-room"),
        pytest.param(-1, 1.0, Reason.SATURATED, id="sheddable-saturated"),
    ],
)
def test_admission(priority: int, saturation: float, reason: Reason | None) -> None:
    facts = RequestFacts("r", priority=priority)
    if reason is None:
        assert isinstance(admission(saturation).place(facts, 0.0), Placed)
    else:
        with pytest.raises(Refused) as caught:
            admission(saturation).place(facts, 0.0)
        assert caught.value.reason is reason


def test_an_empty_pool_is_a_lack_of_endpoints() -> None:
    with pytest.raises(Refused) as caught:
        admission(1.0, empty=True).place(RequestFacts("r"), 0.0)
    assert caught.value.reason is Reason.NO_ENDPOINTS


def test_a_line_that_is_not_there_is_not_full() -> None:
    assert admission(1.0).fullness([5]) == Fullness()
