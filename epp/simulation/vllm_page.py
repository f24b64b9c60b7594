"""The metrics page of a model server: the series of vLLM 0.32 with their names and labels."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from epp.simulation.engine import Engine, Gauges
from epp.simulation.engine_metrics import EngineMetrics
from epp.simulation.exposition import Family, Labels, Section, counter, gauge, histogram, labels
from epp.simulation.vllm_series import CACHE_CONFIG, COUNTERS, GAUGES, HISTOGRAM_HELP, Values

MAX_ADAPTER_SERIES = 256

Rank = tuple[Engine, EngineMetrics]


class VllmPage:
    """Series of all ranks of one server. `created` is its start in unix seconds."""

    def __init__(
        self,
        ranks: Sequence[Rank],
        *,
        model_name: str,
        max_model_len_tokens: int,
        created: float,
    ) -> None:
        self.queue_rejections = 0
        self._ranks = ranks
        self._model_name = model_name
        self._max_model_len_tokens = max_model_len_tokens
        self._created = created
        self._adapter_series: OrderedDict[str, float] = OrderedDict()
        self._python = CollectorRegistry()
        GCCollector(self._python)
        PlatformCollector(self._python)
        self._process = CollectorRegistry()
        ProcessCollector(registry=self._process)

    def note_adapters(self, adapters: Sequence[str], unix_time: float) -> None:
        """Remember which adapters had live requests.

        Every combination stays a series, as in vLLM, though here only the newest few hundred do.
        """
        if adapters or self._adapter_series:
            key = ",".join(adapters)
            self._adapter_series[key] = unix_time
            self._adapter_series.move_to_end(key)
            if len(self._adapter_series) > MAX_ADAPTER_SERIES:
                self._adapter_series.popitem(last=False)

    def sections(self) -> Iterator[Section]:
        """The whole page in its order, made only as far as it is wanted."""
        yield Section("python_", partial(_collected, self._python))
        yield Section("process_", partial(_collected, self._process))
        yield Section("vllm:estimated_", self._estimates)
        for name, help_, label, read_gauges in GAUGES:
            yield Section(name, partial(self._gauge, name, help_, label, read_gauges))
        for name, help_, label, read_metrics in COUNTERS:
            yield Section(name, partial(self._counter, name, help_, label, read_metrics))
        yield Section("vllm:admission_rejections", self._rejections)
        for name in HISTOGRAM_HELP:
            yield Section(f"vllm:{name}", partial(self._histogram, name))
        yield Section("vllm:lora_requests_info", self._adapter_info)
        yield Section("vllm:cache_config_info", self._cache_info)

    def _labels(self, rank: int, **more: str) -> Labels:
        return labels({"engine": str(rank), "model_name": self._model_name, **more})

    def _each(self, label: str, values: Iterable[Values]) -> list[tuple[Labels, float]]:
        """Values of all ranks, in rank order."""
        return [
            (self._labels(rank, **({label: key} if label else {})), value)
            for rank, of_rank in enumerate(values)
            for key, value in of_rank.items()
        ]

    def _gauge(
        self, name: str, help_: str, label: str, read: Callable[[Gauges], Values]
    ) -> Iterator[Family]:
        values = [read(engine.gauges) for engine, _ in self._ranks]
        yield gauge(name, help_, self._each(label, values))

    def _counter(
        self, name: str, help_: str, label: str, read: Callable[[EngineMetrics], Values]
    ) -> tuple[Family, Family]:
        values = [read(metrics) for _, metrics in self._ranks]
        return counter(name, help_, self._each(label, values), self._created)

    def _histogram(self, name: str) -> tuple[Family, Family]:
        values = [
            (self._labels(rank), metrics.histograms[name])
            for rank, (_, metrics) in enumerate(self._ranks)
        ]
        return histogram(f"vllm:{name}", HISTOGRAM_HELP[name], values, self._created)

    def _estimates(self) -> Iterator[Family]:
        for kind in ("flops", "read_bytes", "write_bytes"):
            yield from counter(
                f"vllm:estimated_{kind}_per_gpu",
                "Estimate for hardware utilisation, not simulated.",
                self._each("", [{"": 0.0}] * len(self._ranks)),
                self._created,
            )

    def _rejections(self) -> tuple[Family, Family]:
        counts = {
            "max_num_queued_reqs": self.queue_rejections,
            "max_num_queued_tokens": 0,
        }
        return counter(
            "vllm:admission_rejections",
            "Requests refused at a queue limit.",
            [
                (labels({"model_name": self._model_name, "reason": reason}), count)
                for reason, count in counts.items()
            ],
            self._created,
        )

    def _adapter_info(self) -> Iterator[Family]:
        """Absent until an adapter is used. In 0.32 both labels list every live adapter."""
        if self._adapter_series:
            limit = str(self._ranks[0][0].settings.max_adapters)
            yield gauge(
                "vllm:lora_requests_info",
                "Adapters with live requests; the value is the unix time of the last update.",
                [
                    (
                        labels(
                            {
                                "max_lora": limit,
                                "running_lora_adapters": adapters,
                                "waiting_lora_adapters": adapters,
                            }
                        ),
                        unix_time,
                    )
                    for adapters, unix_time in self._adapter_series.items()
                ],
            )

    def _cache_info(self) -> Iterator[Family]:
        settings = self._ranks[0][0].settings
        size = settings.block_size_tokens
        tokens = settings.num_blocks * size
        sizes = {
            "block_size": str(size),
            "effective_attention_block_size": str(size),
            "kv_cache_max_concurrency": str(tokens / self._max_model_len_tokens),
            "kv_cache_size_tokens": str(tokens),
            "num_gpu_blocks": str(settings.num_blocks),
        }
        values = [
            (labels(CACHE_CONFIG | sizes | {"engine": str(rank)}), 1.0)
            for rank in range(len(self._ranks))
        ]
        yield gauge("vllm:cache_config_info", "How the KV cache is set up.", values)


def _collected(registry: CollectorRegistry) -> Iterator[Family]:
    """What prometheus_client itself knows of this process."""
    for metric in registry.collect():
        suffix = "_total" if metric.type == "counter" else ""
        samples = [(s.name, labels(s.labels), s.value) for s in metric.samples]
        yield Family(metric.name + suffix, metric.type, metric.documentation, samples)
