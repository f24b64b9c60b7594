"""Every Prometheus metric of the process, in one list. Names follow the Go picker."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Final

from prometheus_client import CollectorRegistry

from epp.telemetry import buckets
from epp.telemetry.instruments import Count, Counter, Distribution, Gauge, Histogram, Level

PREFIX: Final = "llm_d_epp_"
MODELS: Final = ("model_name", "target_model_name")
FLOWS: Final = (*MODELS, "fairness_id", "priority")
DISAGGREGATION: Final = ("plugin_name", "plugin_type", "model_name", "decision_type")
OLD_DISAGGREGATION: Final = "pd-profile-handler"  # has a family of its own
OTHER: Final = "other"
MAX_EXEMPT: Final = 10_000
# Of a value that clients choose: each stands on every page some hundred times, once a bucket.
MAX_LABEL_CHARACTERS: Final = 256
PREFIX_INDEX: Final = {  # labels of the one index there is
    "plugin_name": "prefix-cache",
    "plugin_type": "approx-prefix-cache-producer",
}
DISPATCHED: Final = "Dispatched"  # the flow-control outcome of a request that was placed


class LabelCap:
    """Folds all values beyond the first `limit` distinct ones, and very long ones, into `other`."""

    def __init__(self, limit: int = 1000) -> None:
        self._limit = limit
        self._exempt = 0
        self._known: dict[str, None] = {"": None}

    def __call__(self, value: str) -> str:
        if value in self._known:
            return value
        if len(self._known) > self._limit or len(value) > MAX_LABEL_CHARACTERS:
            return OTHER
        self._known[value] = None
        return value

    def exempt(self, values: Iterable[str]) -> None:
        """Names from the configuration never fold and use nothing of the budget.

        At most MAX_EXEMPT in all: objects of a cluster can come with new names for ever.
        """
        room = MAX_EXEMPT - self._exempt
        fresh = [value for value in values if value not in self._known][:room]
        self._exempt += len(fresh)
        self._limit += len(fresh)
        self._known.update(dict.fromkeys(fresh))


@dataclass(slots=True)
class FlowChildren:
    """The children of one (model, target, flow, priority), bound once and kept."""

    total: Count
    running: Level
    size: Distribution
    duration: Distribution
    response_size: Distribution
    input_tokens: Distribution
    output_tokens: Distribution
    cached_tokens: Distribution
    ntpot: Distribution
    tpot: Distribution
    itl: Distribution
    ttft: dict[bool, Distribution]
    dispatched: Count
    waited: Distribution
    labels: tuple[str, str, str, str]


@dataclass(frozen=True, slots=True)
class Streams:
    """Of the ext-proc service."""

    open: Level
    duration: Distribution
    ended: Counter  # by the name of the gRPC code


@dataclass(slots=True)
class Metrics:
    """One instance a process. Fields are the families; methods bind label values under the caps."""

    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    model_cap: LabelCap = field(default_factory=LabelCap)
    flow_cap: LabelCap = field(default_factory=LabelCap)
    rewrite_cap: LabelCap = field(default_factory=LabelCap)
    plugin_cap: LabelCap = field(default_factory=LabelCap)
    pool_name: str = ""
    _children: dict[tuple[str, str, str, int], FlowChildren] = field(default_factory=dict)

    request_total: Counter = field(init=False)
    request_error_total: Counter = field(init=False)
    request_running: Gauge = field(init=False)
    request_duration: Histogram = field(init=False)
    request_size: Histogram = field(init=False)
    response_size: Histogram = field(init=False)
    input_tokens: Histogram = field(init=False)
    output_tokens: Histogram = field(init=False)
    cached_tokens: Histogram = field(init=False)
    ntpot: Histogram = field(init=False)
    ttft: Histogram = field(init=False)
    tpot: Histogram = field(init=False)
    itl: Histogram = field(init=False)
    request_processing: Histogram = field(init=False)
    response_processing: Histogram = field(init=False)
    scheduler_duration: Histogram = field(init=False)
    scheduler_attempts: Counter = field(init=False)
    prefix_hit_ratio: Distribution = field(init=False)
    prefix_hit_bytes: Distribution = field(init=False)
    queue_duration: Histogram = field(init=False)
    dispatch_cycle: Histogram = field(init=False)
    flow_outcomes: Counter = field(init=False)
    refusals: Counter = field(init=False)
    rewrites: Counter = field(init=False)
    disagg_decisions: Counter = field(init=False)
    pd_decisions: Counter = field(init=False)
    poll_errors: Counter = field(init=False)
    extract_errors: Counter = field(init=False)
    without_pick: Counter = field(init=False)
    access_log_entries: Counter = field(init=False)
    loop_stall: Histogram = field(init=False)
    config_generation: Gauge = field(init=False)
    config_reloads: Counter = field(init=False)
    config_applied_at: Gauge = field(init=False)
    config_is_good: Gauge = field(init=False)
    config_needs_restart: Gauge = field(init=False)
    stage_duration: Histogram = field(init=False)
    plugin_duration: Histogram = field(init=False)

    def __post_init__(self) -> None:
        self._make_request_families()
        self._make_decision_families()
        self._make_outcome_families()
        self._make_process_families()
        self._make_configuration_families()

    def _make_request_families(self) -> None:
        count, measure = self._counter, self._histogram
        self.request_total = count("request", "Requests sent on to a model server.", FLOWS)
        self.request_error_total = count(
            "request_error", "Requests that ended in an error.", (*FLOWS, "error_code")
        )
        self.request_running = Gauge(
            f"{PREFIX}request_running",
            "Requests sent on and not finished.",
            FLOWS,
            registry=self.registry,
        )
        self.request_duration = measure(
            "request_duration_seconds", "From headers to the end.", FLOWS, buckets.LATENCY
        )
        self.request_size = measure(
            "request_size_bytes", "Request bodies as sent on.", FLOWS, buckets.REQUEST_BYTES
        )
        self.response_size = measure(
            "response_size_bytes", "Response bodies.", FLOWS, buckets.RESPONSE_BYTES
        )
        self.input_tokens = measure(
            "request_input_tokens", "Prompt tokens as reported.", FLOWS, buckets.INPUT_TOKENS
        )
        self.output_tokens = measure(
            "request_output_tokens", "Output tokens as reported.", FLOWS, buckets.OUTPUT_TOKENS
        )
        self.cached_tokens = measure(
            "request_cached_tokens", "Cached prompt tokens.", FLOWS, buckets.INPUT_TOKENS
        )
        self.ntpot = measure(
            "request_ntpot_seconds",
            "Whole time divided by output tokens.",
            FLOWS,
            buckets.NORMALIZED_TPOT,
        )
        self.ttft = measure(
            "request_ttft_seconds", "To the first chunk.", (*FLOWS, "streaming"), buckets.TTFT
        )
        self.tpot = measure(
            "request_streaming_tpot_seconds",
            "Time per output token after the first, of streamed answers.",
            FLOWS,
            buckets.TPOT,
        )
        self.itl = measure(
            "request_streaming_itl_seconds",
            "Time between two chunks of a streamed answer.",
            FLOWS,
            buckets.ITL,
        )

    def _make_decision_families(self) -> None:
        count, measure = self._counter, self._histogram
        self.request_processing = measure(
            "request_processing_duration_seconds",
            "From headers to the decision, waiting included.",
            (),
            buckets.PROCESSING,
        )
        self.response_processing = measure(
            "response_processing_duration_seconds",
            "Our own time for a streamed answer; from headers to the end of another.",
            (),
            buckets.RESPONSE_PROCESSING,
        )
        self.scheduler_duration = measure(
            "scheduler_e2e_duration_seconds",
            "Reading, routing and placing a request.",
            (),
            buckets.FAST,
        )
        self.plugin_duration = measure(
            "plugin_duration_seconds",
            "Runs of plugins, of one decision in 64: its counts are of samples.",
            ("extension_point", "plugin_type", "plugin_name"),
            buckets.FAST,
        )
        self.scheduler_attempts = count(
            "scheduler_attempts",
            "Decisions by outcome.",
            ("status", "target_model_name", "endpoint_name", "namespace", "port"),
        )
        index = tuple(PREFIX_INDEX)
        self.prefix_hit_ratio = measure(
            "prefix_indexer_hit_ratio",
            "Share of a prompt that the index believed cached where it was sent.",
            index,
            buckets.RATIO,
        ).labels(*PREFIX_INDEX.values())
        self.prefix_hit_bytes = measure(
            "prefix_indexer_hit_bytes",
            "Bytes of a prompt that the index believed cached where it was sent.",
            index,
            buckets.HIT_BYTES,
        ).labels(*PREFIX_INDEX.values())

    def _make_outcome_families(self) -> None:
        count, measure = self._counter, self._histogram
        self.queue_duration = measure(
            "flow_control_request_queue_duration_seconds",
            "Time in the waiting room.",
            ("fairness_id", "priority", "outcome", "inference_pool", *MODELS),
            buckets.QUEUE,
        )
        self.dispatch_cycle = measure(
            "flow_control_dispatch_cycle_duration_seconds",
            "A pass over those who wait, which places all that fit.",
            (),
            buckets.FAST,
        )
        self.flow_outcomes = count(
            "flow_control_requests",
            "Requests by what became of them.",
            ("outcome", "priority", "inference_pool"),
        )
        self.refusals = count("refusals", "Requests turned away.", ("reason",))
        self.rewrites = count(
            "model_rewrite_decisions",
            "Requests whose model a rewrite decided.",
            ("model_rewrite_name", "model_name", "target_model"),
        )
        self.disagg_decisions = count(
            "disagg_decision", "Requests by the stages that share them.", DISAGGREGATION
        )
        self.pd_decisions = count("pd_decision", "The same of pd-profile-handler.", DISAGGREGATION)

    def _make_process_families(self) -> None:
        count, measure = self._counter, self._histogram
        self.poll_errors = count(
            "datalayer_poll_errors", "Scrapes that failed.", ("source_type", "kind")
        )
        self.extract_errors = count(
            "datalayer_extract_errors",
            "Pages that lack a series of the load which their engine is to show.",
            ("source_type", "extractor_type"),
        )
        self.without_pick = count(
            "requests_without_pick",
            "Requests that reached a model server without a pick of a picker.",
            (),
        )
        self.access_log_entries = count(
            "access_log_entries", "Access log entries by who picked.", ("picked_by",)
        )
        self.stage_duration = measure(
            "stage_duration_seconds",
            "The picker's own time for one message of the gateway.",
            ("stage",),
            buckets.FAST,
        )
        info = Gauge(
            f"{PREFIX}info", "This build.", ("commit", "build_ref"), registry=self.registry
        )
        info.labels("", version("epp")).set(1)
        self.loop_stall = measure(
            "event_loop_stall_seconds", "How late the event loop woke.", (), buckets.STALL
        )

    def _make_configuration_families(self) -> None:
        gauge = self._gauge
        self.config_generation = gauge(
            "config_generation", "1 at the start, one more for each configuration applied since."
        )
        self.config_reloads = self._counter(
            "config_reloads", "Changed configurations by what became of them.", ("result",)
        )
        self.config_applied_at = gauge(
            "config_last_reload_success_timestamp_seconds",
            "When the configuration in force was applied, in seconds since 1970.",
        )
        self.config_is_good = gauge(
            "config_last_reload_successful", "0 while the document is wrong or cannot be read."
        )
        self.config_needs_restart = gauge(
            "config_needs_restart", "1 while a key of the document waits for a restart."
        )

    def count_streams(self) -> Streams:
        """Adds the families of ext-proc streams, which are there only where they are asked for."""
        return Streams(
            self._gauge("extproc_streams_inflight", "Open ext-proc streams.").labels(),
            self._histogram(
                "extproc_stream_duration_seconds",
                "From the start to the end of an ext-proc stream.",
                (),
                buckets.STREAM,
            ).labels(),
            self._counter("extproc_streams", "Ext-proc streams that ended.", ("code",)),
        )

    def count_spans(self) -> Counter:
        """Adds the counter of spans, which is there only where they go somewhere."""
        return self._counter("trace_spans", "Spans by what became of them.", ("result",))

    def children(self, model: str, target: str, flow: str, priority: int) -> FlowChildren:
        key = (model, target, flow, priority)
        found = self._children.get(key)
        if found is not None:
            return found
        labels = self.flow_labels(model, target, flow, priority)
        children = FlowChildren(
            total=self.request_total.labels(*labels),
            running=self.request_running.labels(*labels),
            size=self.request_size.labels(*labels),
            duration=self.request_duration.labels(*labels),
            response_size=self.response_size.labels(*labels),
            input_tokens=self.input_tokens.labels(*labels),
            output_tokens=self.output_tokens.labels(*labels),
            cached_tokens=self.cached_tokens.labels(*labels),
            ntpot=self.ntpot.labels(*labels),
            tpot=self.tpot.labels(*labels),
            itl=self.itl.labels(*labels),
            dispatched=self.flow_outcomes.labels(DISPATCHED, labels[3], self.pool_name),
            waited=self.waited(labels, DISPATCHED),
            ttft={s: self.ttft.labels(*labels, str(s).lower()) for s in (True, False)},
            labels=labels,
        )
        if OTHER not in labels:  # folded names are unlimited: they are looked up each time
            self._children[key] = children
        return children

    def flow_labels(
        self, model: str, target: str, flow: str, priority: int
    ) -> tuple[str, str, str, str]:
        """Values of the labels FLOWS, under the caps."""
        return self.model_cap(model), self.model_cap(target), self.flow_cap(flow), str(priority)

    def forget_endpoints(self, gone: Collection[tuple[str, str, str]]) -> None:
        """Pod name, namespace and port of each: in a cluster new ones come for ever."""
        places = frozenset(gone)
        self.scheduler_attempts.forget(lambda values: values[2:] in places)

    def plugin_timer(self, point: str, kind: str, name: str) -> Distribution:
        """Documents can come with new names of plugins for ever, types are few."""
        return self.plugin_duration.labels(point, kind, self.plugin_cap(name))

    def rewrote(self, rewrite: str, model: str, target: str) -> None:
        cap = self.model_cap
        self.rewrites.labels(self.rewrite_cap(rewrite), cap(model), cap(target)).inc()

    def disaggregated(self, handler: str, handler_type: str, model: str, roles: str) -> None:
        """`roles` are those that share a request, as in `prefill-decode`."""
        old = handler_type == OLD_DISAGGREGATION
        family = self.pd_decisions if old else self.disagg_decisions
        family.labels(handler, handler_type, self.model_cap(model) or "unknown", roles).inc()

    def waited(self, labels: tuple[str, str, str, str], outcome: str) -> Distribution:
        """Time in the waiting room of requests with these labels of FLOWS."""
        model, target, flow, priority = labels
        return self.queue_duration.labels(flow, priority, outcome, self.pool_name, model, target)

    def _counter(self, name: str, text: str, labels: tuple[str, ...]) -> Counter:
        return Counter(PREFIX + name, text, labels, self.registry)

    def _gauge(self, name: str, text: str) -> Gauge:
        return Gauge(PREFIX + name, text, (), self.registry)

    def _histogram(
        self, name: str, text: str, labels: tuple[str, ...], bounds: tuple[float, ...]
    ) -> Histogram:
        return Histogram(PREFIX + name, text, labels, self.registry, bounds)
