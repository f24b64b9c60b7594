from __future__ import annotations

from dataclasses import replace

import pytest

from epp.extproc.access_log import LoggedRequest
from epp.extproc.logged import AccessLogDigest
from epp.payloads.usage import Usage
from epp.telemetry.metrics import Metrics

OURS = LoggedRequest(
    request_id="r",
    status=200,
    served="10.0.0.1:80",
    attempts=1,
    picked="10.0.0.1:80",
    instance="i",
    nonce="mine",
    model="m",
    target_model="t",
    flow="f",
    priority=0,
    duration_seconds=2.0,
    first_byte_seconds=0.1,
    response_bytes=100,
    prompt_tokens=30,
    completion_tokens=8,
    cached_tokens=0,
)


@pytest.mark.parametrize(
    ("request_", "told"),
    [
        pytest.param(OURS, [("r", Usage(30, 8, 0))], id="ours"),
        pytest.param(
            replace(OURS, prompt_tokens=None, cached_tokens=None), [("r", Usage(0, 8))], id="some"
        ),
        pytest.param(
            replace(OURS, prompt_tokens=None, completion_tokens=None, cached_tokens=None),
            [],
            id="no-usage",
        ),
        pytest.param(replace(OURS, nonce="other"), [], id="of-another-picker"),
        pytest.param(replace(OURS, picked=""), [], id="of-nobody"),
    ],
)
def test_usage_is_told_to_who_learns(
    request_: LoggedRequest, told: list[tuple[str, Usage]]
) -> None:
    reports: list[tuple[str, Usage]] = []
    digest = AccessLogDigest(Metrics(), "mine", lambda name, usage: reports.append((name, usage)))
    digest.logged(request_)
    assert reports == told


def value(metrics: Metrics, name: str, **labels: str) -> float:
    return metrics.registry.get_sample_value(f"llm_d_epp_{name}", labels) or 0.0


@pytest.mark.parametrize(
    ("request_", "picked_by", "bypassed"),
    [
        (OURS, "us", 0),
        (replace(OURS, nonce="other"), "another", 0),
        (replace(OURS, picked=""), "nobody", 1),
        (replace(OURS, picked="", served=""), "nobody", 0),  # refused: no server was reached
    ],
)
def test_who_picked(request_: LoggedRequest, picked_by: str, bypassed: int) -> None:
    metrics = Metrics()
    AccessLogDigest(metrics, "mine").logged(request_)
    assert value(metrics, "access_log_entries_total", picked_by=picked_by) == 1
    assert value(metrics, "requests_without_pick_total") == bypassed
    flow = {"model_name": "m", "target_model_name": "t", "fairness_id": "f", "priority": "0"}
    tokens = value(metrics, "request_output_tokens_sum", **flow)
    assert tokens == (8 if picked_by == "us" else 0)
    if picked_by == "us":
        assert value(metrics, "request_ntpot_seconds_sum", **flow) == 0.25
        assert value(metrics, "request_cached_tokens_count", **flow) == 1
