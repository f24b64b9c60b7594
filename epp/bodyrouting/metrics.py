"""The metrics of a body router. Names follow the Go one where it has them."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Final

from prometheus_client import CollectorRegistry

from epp.bodyrouting.actions import Note, Outcome
from epp.bodyrouting.settings import MODEL_FIELD
from epp.telemetry import buckets
from epp.telemetry.instruments import Counter, Gauge, Histogram

PREFIX: Final = "bbr_"

# What the Go router's dashboards call "not parsed".
NOT_PARSED: Final = frozenset((Outcome.UNREADABLE, Outcome.NOT_JSON))


class BodyRouterMetrics:
    """All label values are closed sets: outcomes, and fields of the configuration."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._success = self._counter("success", "Requests whose headers were all set.")
        self._not_in_body = self._counter(
            "model_not_in_body", "Requests whose body has no model name."
        )
        self._not_parsed = self._counter(
            "model_not_parsed", "Requests whose body is no JSON, or whose model is no name."
        )
        self._field_missing = self._counter(
            "body_field_not_found", "Requests without the field in the body.", ("field",)
        )
        self._field_empty = self._counter(
            "body_field_empty", "Requests with the field, but empty.", ("field",)
        )
        self._base_model_unknown = self._counter(
            "base_model_not_found", "Requests for a model that no base model claims."
        )
        self._outcomes = self._counter("requests", "Requests by what became of them.", ("outcome",))
        for outcome in Outcome:  # a rate needs the zero before the first one
            self._outcomes.labels(outcome.value)
        self.processing = Histogram(
            f"{PREFIX}processing_duration_seconds",
            "The router's own time for a request, until it goes on.",
            (),
            self.registry,
            buckets.FAST,
        )
        self.loop_stall = Histogram(
            f"{PREFIX}event_loop_stall_seconds",
            "How late the event loop woke.",
            (),
            self.registry,
            buckets.STALL,
        )
        self.base_models = Gauge(
            f"{PREFIX}base_model_names",
            "Adapters and base models whose base model is known.",
            (),
            self.registry,
        )
        info = Gauge(f"{PREFIX}info", "This build.", ("commit", "build_ref"), self.registry)
        info.labels("", version("epp")).set(1)

    def note(self, note: Note) -> None:
        self._outcomes.labels(note.outcome.value).inc()
        if note.outcome is Outcome.SUCCESS:
            self._success.inc()
        if MODEL_FIELD in note.missing and note.outcome is Outcome.MISSING:
            self._not_in_body.inc()
        if note.outcome in NOT_PARSED:
            self._not_parsed.inc()
        for field in note.missing:
            self._field_missing.labels(field).inc()
        for field in note.empty:
            self._field_empty.labels(field).inc()
        if note.base_model_unknown:
            self._base_model_unknown.inc()

    def _counter(self, name: str, text: str, labels: Sequence[str] = ()) -> Counter:
        return Counter(PREFIX + name, text, labels, self.registry)
