import math
import re
from pathlib import Path
from random import Random

import pytest

from epp.simulation.engine import Engine
from epp.simulation.engine_metrics import EngineMetrics
from epp.simulation.exposition import render
from epp.simulation.profiles import PROFILES
from epp.simulation.requests import EngineRequest
from epp.simulation.scheduler import EngineSettings
from epp.simulation.vllm_page import MAX_ADAPTER_SERIES, VllmPage

RECORDED = Path(__file__).parents[2] / "fixtures" / "vllm-0.32"
SAMPLE = re.compile(r"(?P<name>[^{ ]+)(?:\{(?P<labels>.*)\})? \S+")
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


def page(ranks: int = 1, adapters: tuple[str, ...] = (), context: int = 2048) -> VllmPage:
    settings = EngineSettings(PROFILES["8b-h100"], num_blocks=64, block_size_tokens=32)
    made = []
    for rank in range(ranks):
        engine, metrics = Engine(settings, Random(rank)), EngineMetrics(context, 1.0)
        engine.submit(EngineRequest("r", 100, 3), 0.0)
        while engine.next_event_at() < math.inf:
            for step in engine.advance(engine.next_event_at()):
                metrics.record(step)
        made.append((engine, metrics))
    subject = VllmPage(made, model_name="tiny", max_model_len_tokens=context, created=1.79e9)
    if adapters:
        subject.note_adapters(adapters, 1.79e9)
    return subject


def series(text: str, ignored_labels: frozenset[str] = frozenset()) -> set[tuple[object, ...]]:
    """Every vLLM series by name, label names and label values, without sample values."""
    found: set[tuple[object, ...]] = set()
    for line in text.splitlines():
        if line.startswith("vllm:"):
            match = SAMPLE.fullmatch(line)
            assert match is not None, line
            pairs = LABEL.findall(match["labels"] or "")
            kept = tuple((name, "" if name in ignored_labels else value) for name, value in pairs)
            found.add((match["name"], kept))
    return found


def types(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("# TYPE vllm:")]


# What depends on the size and the set-up of a cache.
SIZES = frozenset(
    {"kv_cache_max_concurrency", "kv_cache_memory_bytes", "kv_cache_size_tokens", "num_gpu_blocks"}
)


def test_one_engine_has_the_recorded_series_in_the_recorded_order() -> None:
    recorded = (RECORDED / "metrics-plain.txt").read_text()
    ours = render(page().sections()).decode()
    assert series(ours, SIZES) == series(recorded, SIZES)
    assert types(ours) == types(recorded)


def test_two_engines_and_adapters_have_the_recorded_series() -> None:
    recorded = (RECORDED / "metrics-after-load-lora-dp2.txt").read_text()
    subject = page(ranks=2, context=512)
    for adapters in ("ad0",), ("ad0", "ad1"), ("ad1",), ("ad1", "ad0"), ():
        subject.note_adapters(adapters, 1.79e9)
    ours = render(subject.sections()).decode()
    varying = SIZES | {"max_lora"}
    assert series(ours, varying) == series(recorded, varying)
    assert types(ours) == types(recorded)


def test_the_whole_page_is_as_large_as_a_real_one() -> None:
    assert 40_000 < len(render(page().sections())) < 60_000


def test_values_are_those_of_the_engine() -> None:
    lines = render(page().sections()).decode().splitlines()
    place = '{engine="0",model_name="tiny"}'
    assert f"vllm:prompt_tokens_total{place} 100.0" in lines
    assert f"vllm:generation_tokens_total{place} 3.0" in lines
    assert f"vllm:kv_cache_usage_perc{place} 0.0" in lines


def test_adapters_appear_with_the_first_use_and_stay_as_empty() -> None:
    name = "vllm:lora_requests_info"
    subject = page()
    subject.note_adapters((), 1.0)
    assert render(subject.sections(), {name}) == b""
    subject.note_adapters(("a",), 2.0)
    subject.note_adapters((), 3.0)
    lines = render(subject.sections(), {name}).decode().splitlines()[2:]
    assert [line.rsplit(" ", 1)[1] for line in lines] == ["2.0", "3.0"]
    assert 'running_lora_adapters="",waiting_lora_adapters=""' in lines[1]


def test_adapter_series_are_bounded() -> None:
    subject = page()
    for i in range(MAX_ADAPTER_SERIES + 50):
        subject.note_adapters((f"a{i}",), float(i))
    text = render(subject.sections(), {"vllm:lora_requests_info"}).decode()
    assert text.count("\nvllm:") == MAX_ADAPTER_SERIES
    assert 'running_lora_adapters="a49"' not in text
    assert f'running_lora_adapters="a{MAX_ADAPTER_SERIES + 49}"' in text


@pytest.mark.parametrize(
    "name",
    [
        "vllm:num_requests_running",
        "vllm:num_requests_waiting",
        "vllm:kv_cache_usage_perc",
        "vllm:cache_config_info",
        "vllm:time_to_first_token_seconds_bucket",
        "vllm:num_preemptions_created",
        "process_resident_memory_bytes",
        "python_info",
    ],
)
def test_a_name_gives_just_its_samples(name: str) -> None:
    whole = render(page().sections()).decode().splitlines()
    chosen = render(page().sections(), {name}).decode().splitlines()
    samples = [line for line in chosen if not line.startswith("#")]
    assert len(samples) == len([line for line in whole if re.match(re.escape(name) + "[{ ]", line)])
    assert len(samples) >= 1
    assert len(chosen) == len(samples) + 2
