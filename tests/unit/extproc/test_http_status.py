from __future__ import annotations

import orjson
import pytest

from epp.core.refusal import Reason, Refused
from epp.extproc.http_status import immediate, status_of


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_has_a_status_of_its_class(reason: Reason) -> None:
    status, code = status_of(reason)
    assert 400 <= status <= 503
    assert code


def test_the_answer_is_one_that_openai_clients_read() -> None:
    answer = immediate(Refused(Reason.SATURATED, "queue at capacity", 1.2))
    assert answer.status == 429
    assert answer.headers == {
        "content-type": "application/json",
        "x-llm-d-request-dropped-reason": "rejected-saturated",
        "retry-after": "2",
    }
    error = orjson.loads(answer.body)["error"]
    assert error["message"] == "inference error: ResourceExhausted - queue at capacity"
    assert error["code"] == "rejected-saturated"


def test_without_advice_there_is_no_header() -> None:
    assert "retry-after" not in immediate(Refused(Reason.BAD_REQUEST, "no")).headers
