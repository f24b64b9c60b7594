from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Gauge, generate_latest

from epp.core.endpoint import NEVER, EndpointMetrics
from epp.datalayer.scraping.engines import ENGINES, EngineMapping, parse_series
from epp.datalayer.scraping.page import (
    MAX_LINE_BYTES,
    MAX_SERIES,
    STEP_BYTES,
    PageScan,
    is_filtered,
    read_page,
)

FIXTURES = Path(__file__).parents[3] / "fixtures" / "vllm-0.32"
VLLM = ENGINES["vllm"]
UNKNOWN = EndpointMetrics()
AT = 50.0


def recorded(name: str) -> bytes:
    return (FIXTURES / f"metrics-{name}.txt").read_bytes()


def filtered(page: bytes) -> bytes:
    """The lines that a server answers to the filtered form of the request."""
    names = [family.encode() for family in VLLM.families]
    lines = page.splitlines(keepends=True)
    return b"".join(
        line
        for line in lines
        if (line.split(b" ")[2] if line[:1] == b"#" else re.split(rb"[{ ]", line)[0]) in names
    )


def read(page: bytes, engine: str = "vllm", previous: EndpointMetrics = UNKNOWN) -> EndpointMetrics:
    return read_page(page, ENGINES[engine], previous, AT).metrics


NO_LORA = (frozenset[str](), 0, NEVER)
LORA = (frozenset({"ad1"}), 2, AT)
RECORDED = [
    pytest.param(
        "plain", (0, 0, 0.0, 31356.0, 982.0), NO_LORA, (32, 1024), 1795182219.41, id="plain"
    ),
    pytest.param(
        *("loaded-lora", (3, 3, 0.33333333333333337, 2326.0, 39.0), LORA, (32, 64), 1795186013.69),
        id="loaded",
    ),
    pytest.param(
        "idle-lora-dp2", (0, 0, 0.0, 0.0, 0.0), NO_LORA, (32, 256), 1795185934.93, id="idle-dp2"
    ),
    pytest.param(
        "after-load-lora-dp2",
        (0, 0, 0.0, 3840.0, 60.0),
        LORA,
        (32, 256),
        1795185934.93,
        id="after-load-dp2",
    ),
]


@pytest.mark.parametrize("form", [lambda page: page, filtered], ids=["full", "filtered"])
@pytest.mark.parametrize(("name", "load", "lora", "cache", "started_at"), RECORDED)
def test_recorded_pages(
    name: str,
    form: Callable[[bytes], bytes],
    load: tuple[int, int, float, float, float],
    lora: tuple[frozenset[str], int, float],
    cache: tuple[int, int],
    started_at: float,
) -> None:
    assert read(form(recorded(name))) == EndpointMetrics(
        waiting=load[0],
        waiting_read_at=AT,
        running=load[1],
        running_read_at=AT,
        kv_cache_usage=load[2],
        kv_cache_usage_read_at=AT,
        generated_tokens=load[3],
        generated_tokens_read_at=AT,
        first_tokens=load[4],
        first_tokens_read_at=AT,
        running_adapters=lora[0],
        waiting_adapters=lora[0],
        max_adapters=lora[1],
        adapters_read_at=lora[2],
        block_size_tokens=cache[0],
        num_blocks=cache[1],
        cache_config_read_at=AT,
        started_at=started_at,
    )


@pytest.mark.parametrize("name", ["plain", "loaded-lora", "idle-lora-dp2", "after-load-lora-dp2"])
def test_a_filtered_page_is_told_from_a_full_one(name: str) -> None:
    page = recorded(name)
    assert not is_filtered(page, VLLM)
    assert is_filtered(filtered(page), VLLM)


def test_a_long_filtered_page_is_judged_by_its_beginning() -> None:
    line = b'vllm:lora_requests_info{running_lora_adapters="a"} 1\n'
    assert is_filtered(line * (3 * STEP_BYTES // len(line)), VLLM)


DP2 = b"""\
vllm:num_requests_running{engine="0",model_name="m"} 3.0
vllm:num_requests_running{engine="1",model_name="m"} 4.0
vllm:num_requests_waiting{engine="0",model_name="m"} 1.0
vllm:num_requests_waiting{engine="1",model_name="m"} 2.0
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.25
vllm:kv_cache_usage_perc{engine="1",model_name="m"} 0.75
vllm:cache_config_info{block_size="16",engine="0",num_gpu_blocks="100"} 1.0
vllm:cache_config_info{block_size="16",engine="1",num_gpu_blocks="200"} 1.0
"""


def test_ranks_are_summed_and_the_fullest_counts() -> None:
    metrics = read(DP2)
    assert (metrics.running, metrics.waiting, metrics.kv_cache_usage) == (7, 3, 0.75)
    assert (metrics.block_size_tokens, metrics.num_blocks) == (16, 300)


def test_order_of_the_families_does_not_matter() -> None:
    lines = DP2.splitlines(keepends=True)
    assert read(b"".join(reversed(lines))) == read(DP2)


SGLANG = b"""\
sglang:num_queue_reqs{model_name="m"} 2.0
sglang:num_running_reqs{model_name="m"} 5.0
sglang:token_usage{model_name="m"} 0.28
sglang:cache_config_info{num_pages="2000",page_size="64"} 1.0
"""
TRTLLM = b"""\
trtllm_num_requests_waiting{model_name="m"} 2.0
trtllm_num_requests_running{model_name="m"} 5.0
trtllm_kv_cache_utilization{model_name="m"} 0.28
trtllm_kv_cache_tokens_per_block{model_name="m"} 64.0
trtllm_kv_cache_max_blocks{model_name="m"} 2000.0
"""
TRITON_TRTLLM = b"""\
nv_trt_llm_request_metrics{model="m",request_type="waiting",version="1"} 2
nv_trt_llm_request_metrics{model="m",request_type="context",version="1"} 99
nv_trt_llm_request_metrics{model="m",request_type="scheduled",version="1"} 5
nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="fraction",model="m"} 0.28
nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="tokens_per",model="m"} 64
nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="used",model="m"} 560
nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="max",model="m"} 2000
"""


@pytest.mark.parametrize(
    ("engine", "page"),
    [("sglang", SGLANG), ("trtllm-serve", TRTLLM), ("triton-tensorrt-llm", TRITON_TRTLLM)],
)
def test_other_engines(engine: str, page: bytes) -> None:
    metrics = read(page, engine)
    assert (metrics.waiting, metrics.running, metrics.kv_cache_usage) == (2, 5, 0.28)
    assert (metrics.block_size_tokens, metrics.num_blocks) == (64, 2000)
    assert metrics.cache_config_read_at == AT


def test_triton_says_only_what_waits() -> None:
    metrics = read(b"nv_inference_exec_count 77\nnv_inference_pending_request_count 4\n", "triton")
    assert (metrics.waiting, metrics.running, metrics.running_read_at) == (4, 0, NEVER)


def test_what_is_absent_keeps_its_value_and_its_age() -> None:
    before = read_page(DP2, VLLM, UNKNOWN, 10.0).metrics
    metrics = read(b"vllm:num_requests_waiting 9\n", previous=before)
    assert (metrics.waiting, metrics.waiting_read_at) == (9, AT)
    assert (metrics.running, metrics.running_read_at) == (7, 10.0)
    assert (metrics.kv_cache_usage, metrics.kv_cache_usage_read_at) == (0.75, 10.0)
    assert (metrics.num_blocks, metrics.cache_config_read_at) == (300, 10.0)


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b"vllm:num_requests_waiting NaN\n", id="nan"),
        pytest.param(b"vllm:num_requests_waiting +Inf\n", id="infinity"),
        pytest.param(b"vllm:num_requests_waiting -1\n", id="negative"),
        pytest.param(b"vllm:num_requests_waiting 1e30\n", id="beyond-all-measure"),
        pytest.param(b"vllm:num_requests_waiting 5", id="no-line-end"),
        pytest.param(b"vllm:num_requests_waiting_total 5\n", id="total"),
        pytest.param(b"vllm:num_requests_waiting_created 5\n", id="created"),
        pytest.param(b"xvllm:num_requests_waiting 5\n", id="longer-name"),
        pytest.param(b"# HELP vllm:num_requests_waiting 5\n", id="comment"),
        pytest.param(
            b'vllm:num_requests_waiting{e="0"} 5\nvllm:num_requests_waiting{e="1"} NaN\n',
            id="one-rank-unreadable",
        ),
        pytest.param(
            b'vllm:num_requests_waiting{e="' + b"x" * MAX_LINE_BYTES + b'"} 5\n', id="long-line"
        ),
        pytest.param(b"vllm:num_requests_waiting 1\n" * (MAX_SERIES + 1), id="too-many-series"),
    ],
)
def test_what_cannot_be_trusted_is_absent(line: bytes) -> None:
    metrics = read(b"other 1\n" + line + b"other 2\n" if line.endswith(b"\n") else line)
    assert metrics.waiting_read_at == NEVER


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        pytest.param(b"1.0000000000000002", 1.0, id="rounding"),
        pytest.param(b"33.3", 0.0, id="a-percentage-is-no-fraction"),
    ],
)
def test_usage_is_a_fraction(usage: bytes, expected: float) -> None:
    assert read(b"vllm:kv_cache_usage_perc " + usage + b"\n").kv_cache_usage == expected


@pytest.mark.parametrize("blocks", ["None", "", "-1"])
def test_a_cache_config_that_is_unset_is_absent(blocks: str) -> None:
    page = f'vllm:cache_config_info{{block_size="16",num_gpu_blocks="{blocks}"}} 1\n'.encode()
    assert read(page).cache_config_read_at == NEVER


def test_of_the_adapters_the_newest_series_counts_wherever_it_stands() -> None:
    page = b"""\
vllm:lora_requests_info{max_lora="4",running_lora_adapters="old",waiting_lora_adapters=""} 1.1e+09
vllm:lora_requests_info{max_lora="4",running_lora_adapters="a, b",waiting_lora_adapters="c,"} 2e+09
vllm:lora_requests_info{max_lora="4",running_lora_adapters="bad",waiting_lora_adapters=""} NaN
vllm:lora_requests_info{max_lora="4",running_lora_adapters="mid",waiting_lora_adapters=""} 1.2e+09
"""
    metrics = read(page)
    assert metrics.running_adapters == {"a", "b"}
    assert metrics.waiting_adapters == {"c"}
    assert metrics.max_adapters == 4


def test_empty_labels_of_the_newest_series_mean_that_no_adapter_is_live() -> None:
    previous = read(recorded("loaded-lora"))
    page = b"""\
vllm:lora_requests_info{max_lora="2",running_lora_adapters="",waiting_lora_adapters=""} 2e+09
"""
    assert read(page, previous=previous).running_adapters == frozenset()


names = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@given(st.dictionaries(names, st.integers(0, 1000), min_size=1, max_size=5))
def test_pages_of_the_official_client_are_read_whatever_the_labels(values: dict[str, int]) -> None:
    registry = CollectorRegistry()
    waiting = Gauge("vllm:num_requests_waiting", "x", ["model_name"], registry=registry)
    for label, value in values.items():
        waiting.labels(label).set(value)
    assert read(generate_latest(registry)).waiting == sum(values.values())


@given(st.binary(max_size=400) | st.lists(st.sampled_from(DP2.split())).map(b" ".join))
def test_no_bytes_raise(page: bytes) -> None:
    for mapping in ENGINES.values():
        read_page(page, mapping, UNKNOWN, AT)
        read_page(mapping.families[0].encode() + page, mapping, UNKNOWN, AT, whole=False)
        is_filtered(page, mapping)


PAGES = [filtered(recorded(name)) for name in ("loaded-lora", "after-load-lora-dp2")] + [DP2]


@settings(max_examples=300)
@given(st.sampled_from(PAGES), st.integers(0, 100_000))
def test_a_page_cut_anywhere_gives_right_values_or_none(page: bytes, cut: int) -> None:
    whole = read(page)
    part = read_page(page[: cut % len(page)], VLLM, UNKNOWN, AT, whole=False).metrics
    for field in fields(EndpointMetrics):
        value = getattr(part, field.name)
        assert value in (getattr(whole, field.name), field.default)


def test_a_cut_between_two_ranks_is_not_taken_for_one_rank() -> None:
    page = DP2[: DP2.index(b"\n") + 1]
    assert read_page(page, VLLM, UNKNOWN, AT, whole=True).metrics.running == 3
    assert read_page(page, VLLM, UNKNOWN, AT, whole=False).metrics.running_read_at == NEVER


@pytest.mark.parametrize("shift", [-60, -27, -26, -25, -2, -1, 0, 1])
def test_lines_at_the_edge_of_a_step_are_read_once(shift: int) -> None:
    filler = b"#" * (STEP_BYTES + shift - 1) + b"\n"
    scan = PageScan(filler + DP2 + filler, VLLM)
    steps = 1
    while scan.step():
        steps += 1
    assert steps == 3
    assert scan.reading(UNKNOWN, AT).metrics == read(DP2)


CUSTOM = EngineMapping(
    "mine",
    waiting=parse_series("waiting"),
    custom=(
        ("heat", parse_series('gpu_heat{gpu="1"}')),
        ("any", parse_series("gpu_heat")),
        ("never", parse_series("no_such")),
    ),
)


def test_custom_series_are_read_by_their_key() -> None:
    page = b'waiting 2\ngpu_heat{gpu="0"} 50\ngpu_heat{gpu="1"} 61.5\n'
    reading = read_page(page, CUSTOM, UNKNOWN, AT)
    assert reading.metrics.custom == {"heat": 61.5, "any": 50.0}
    assert reading.families == {"waiting", "gpu_heat"}


def test_a_custom_series_that_is_gone_keeps_its_last_value() -> None:
    before = read_page(b'gpu_heat{gpu="1"} 61.5\n', CUSTOM, UNKNOWN, AT).metrics
    after = read_page(b"waiting 1\n", CUSTOM, before, AT + 1.0).metrics
    assert after.custom == {"heat": 61.5, "any": 61.5}
    assert CUSTOM.dependable == {"waiting"}  # a server may show a custom one later, or never
