from __future__ import annotations

from dataclasses import replace

import pytest

from epp.core.endpoint import EndpointMetrics
from epp.datalayer.scraping.engines import (
    ENGINES,
    EngineMapping,
    EngineSettings,
    SeriesSpec,
    parse_series,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("vllm:a_b", SeriesSpec("vllm:a_b"), id="name"),
        pytest.param("a{}", SeriesSpec("a"), id="no-label"),
        pytest.param("a{b=c}", SeriesSpec("a", (("b", "c"),)), id="plain"),
        pytest.param('a{b="c"}', SeriesSpec("a", (("b", "c"),)), id="quoted"),
        pytest.param(
            ' a { b = c , d = "e,}\\"f" , } ',
            SeriesSpec("a", (("b", "c"), ("d", 'e,}"f'))),
            id="mix",
        ),
    ],
)
def test_series(text: str, expected: SeriesSpec) -> None:
    assert parse_series(text) == expected


@pytest.mark.parametrize(
    "text", ["", "a b", "1a", "a{", "a{b}", "a{b=}", "a{b=c d=e}", "a{b=c,b=d}"]
)
def test_what_is_no_series(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a series|expected|given twice"):
        parse_series(text)


def test_every_known_engine_is_named_by_its_key() -> None:
    assert {name: mapping.name for name, mapping in ENGINES.items()} == {
        name: name for name in ("vllm", "sglang", "trtllm-serve", "triton-tensorrt-llm", "triton")
    }


def test_a_family_with_several_meanings_is_asked_for_once() -> None:
    assert ENGINES["triton-tensorrt-llm"].families == (
        "nv_trt_llm_request_metrics",
        "nv_trt_llm_kv_cache_block_metrics",
    )


def test_adapters_the_start_and_counters_may_be_absent() -> None:
    vllm = ENGINES["vllm"]
    assert set(vllm.families) - vllm.dependable == {
        "vllm:lora_requests_info",
        "process_start_time_seconds",
        "vllm:generation_tokens_total",
        "vllm:time_to_first_token_seconds_count",
    }


def test_a_mapping_without_any_series_is_refused() -> None:
    with pytest.raises(ValueError, match="no series"):
        EngineMapping(name="mine")


@pytest.mark.parametrize(
    ("labels", "engine"),
    [
        pytest.param({}, "vllm", id="default"),
        pytest.param({"llm-d.ai/engine-type": "sglang"}, "sglang", id="label"),
        pytest.param(
            {"inference.networking.k8s.io/engine-type": "triton"}, "triton", id="old-label"
        ),
        pytest.param(
            {"llm-d.ai/engine-type": "sglang", "inference.networking.k8s.io/engine-type": "triton"},
            "sglang",
            id="both",
        ),
        pytest.param({"llm-d.ai/engine-type": "other"}, "vllm", id="unknown"),
    ],
)
def test_the_label_chooses(labels: dict[str, str], engine: str) -> None:
    assert EngineSettings().of(labels) is ENGINES[engine]


@pytest.mark.parametrize(
    ("engine", "read", "complete"),
    [
        ("vllm", ("waiting", "running", "kv_cache_usage"), True),
        ("vllm", ("waiting", "running"), False),
        ("vllm", ("waiting", "kv_cache_usage"), False),
        ("vllm", ("running", "kv_cache_usage"), False),
        ("triton", ("waiting",), True),
        ("triton", (), False),
    ],
)
def test_a_page_that_lacks_a_series_of_the_load_is_known(
    engine: str, read: tuple[str, ...], complete: bool
) -> None:
    now = dict.fromkeys((f"{name}_read_at" for name in read), 5.0)
    metrics = replace(EndpointMetrics(waiting_read_at=4.0, running_read_at=4.0), **now)
    assert ENGINES[engine].shows_all_load(metrics, 5.0) is complete


def test_label_and_default_can_be_set() -> None:
    settings = EngineSettings(default_engine="sglang", label="engine")
    assert settings.of({"engine": "vllm"}).name == "vllm"
    assert settings.of({}).name == "sglang"
    with pytest.raises(ValueError, match="unknown default engine 'mine'"):
        EngineSettings(default_engine="mine")
