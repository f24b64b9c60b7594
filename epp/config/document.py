"""The `EndpointPickerConfig` document: fields, defaults and rules. Knows nothing of the rooms."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from epp.core.duration import parse_duration
from epp.core.quantity import parse_quantity
from epp.core.spelling import to_camel

API_VERSION = "llm-d.ai/v1alpha1"
DEPRECATED_API_VERSION = "inference.networking.x-k8s.io/v1alpha1"
KIND = "EndpointPickerConfig"

Quantity = str | int | float


class Strict:
    """Mixed into every class of the document: camelCase keys, unknown ones are errors."""

    __slots__ = ()
    __pydantic_config__: ClassVar[dict[str, Any]] = {
        "extra": "forbid",
        "alias_generator": to_camel,
        "strict": False,
    }


def _check_quantity(name: str, value: Quantity | None) -> None:
    if value is not None:
        try:
            parse_quantity(str(value))
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None


def check_duration(name: str, value: str | None) -> None:
    """Raises ValueError that begins with `name`."""
    if value is not None:
        try:
            parse_duration(value)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None


@dataclass(frozen=True, slots=True)
class PluginEntry(Strict):
    type: str
    name: str = ""  # defaults to the type
    parameters: dict[str, Any] | None = None

    @property
    def reference(self) -> str:
        return self.name or self.type


@dataclass(frozen=True, slots=True)
class PluginReference(Strict):
    plugin_ref: str


@dataclass(frozen=True, slots=True)
class ProfilePlugin(Strict):
    plugin_ref: str
    weight: float | None = None

    def __post_init__(self) -> None:
        if self.weight is not None and not math.isfinite(self.weight):
            raise ValueError(f"weight: {self.weight} is not a finite number")


@dataclass(frozen=True, slots=True)
class SchedulingProfile(Strict):
    name: str
    plugins: tuple[ProfilePlugin, ...] = ()


@dataclass(frozen=True, slots=True)
class ShadowProfile(Strict):
    """Ours: a profile that looks on while another one decides."""

    name: str
    plugins: tuple[ProfilePlugin, ...] = ()
    max_loop_share: float = 0.01  # of the event loop's time

    def __post_init__(self) -> None:
        if not 0.0 < self.max_loop_share <= 1.0:
            raise ValueError(f"maxLoopShare: {self.max_loop_share} is not above 0 and at most 1")


@dataclass(frozen=True, slots=True)
class DataSource(Strict):
    plugin_ref: str
    extractors: tuple[PluginReference, ...] = ()


@dataclass(frozen=True, slots=True)
class DataLayer(Strict):
    inject_defaults: bool = True
    sources: tuple[DataSource, ...] = ()
    discovery: PluginReference | None = None
    peer_discovery: PluginReference | None = None
    cross_replica_sync_interval: str | None = None
    cross_replica_syncer_plugin_ref: str = ""

    def __post_init__(self) -> None:
        check_duration("crossReplicaSyncInterval", self.cross_replica_sync_interval)


@dataclass(frozen=True, slots=True)
class PriorityBand(Strict):
    priority: int = 0
    max_bytes: Quantity | None = None
    max_requests: Quantity | None = None
    fairness_policy_ref: str = ""
    ordering_policy_ref: str = ""

    def __post_init__(self) -> None:
        _check_quantity("maxBytes", self.max_bytes)
        _check_quantity("maxRequests", self.max_requests)


@dataclass(frozen=True, slots=True)
class FlowControl(Strict):
    max_bytes: Quantity | None = None
    max_requests: Quantity | None = None
    default_request_ttl: str | None = None
    no_endpoint_request_ttl: str | None = None
    default_priority_band: PriorityBand | None = None
    default_negative_priority_band: PriorityBand | None = None
    priority_bands: tuple[PriorityBand, ...] = ()
    usage_limit_policy_plugin_ref: str = ""
    saturation_detector: PluginReference | None = None
    enable_eviction: bool = False

    def __post_init__(self) -> None:
        _check_quantity("maxBytes", self.max_bytes)
        _check_quantity("maxRequests", self.max_requests)
        check_duration("defaultRequestTTL", self.default_request_ttl)
        check_duration("noEndpointRequestTTL", self.no_endpoint_request_ttl)
        priorities = [band.priority for band in self.priority_bands]
        for priority in priorities:
            if priorities.count(priority) > 1:
                raise ValueError(f"priorityBands: duplicate priority level {priority}")


@dataclass(frozen=True, slots=True)
class RequestHandler(Strict):
    parsers: tuple[PluginReference, ...] = ()


@dataclass(frozen=True, slots=True)
class ObjectiveEntry(Strict):
    name: str
    priority: int = 0


@dataclass(frozen=True, slots=True)
class ModelMatch(Strict):
    value: str
    type: Literal["Exact"] = "Exact"

    def __post_init__(self) -> None:
        if not self.value:
            raise ValueError("value: is empty")


@dataclass(frozen=True, slots=True)
class RewriteMatch(Strict):
    model: ModelMatch


@dataclass(frozen=True, slots=True)
class RewriteTarget(Strict):
    model_rewrite: str
    weight: int | None = None

    def __post_init__(self) -> None:
        if not self.model_rewrite:
            raise ValueError("modelRewrite: is empty")
        if self.weight is not None and not 1 <= self.weight <= 1_000_000:
            raise ValueError(f"weight: {self.weight} is not in 1..1000000")


@dataclass(frozen=True, slots=True)
class RewriteRule(Strict):
    targets: tuple[RewriteTarget, ...]
    matches: tuple[RewriteMatch, ...] = ()

    def __post_init__(self) -> None:
        if not self.targets:
            raise ValueError("targets: at least one is needed")


@dataclass(frozen=True, slots=True)
class ModelRewriteEntry(Strict):
    name: str
    rules: tuple[RewriteRule, ...]


@dataclass(frozen=True, slots=True)
class ModelObjectiveEntry(Strict):
    """Without models it is for every model that no other entry names."""

    objective: str
    models: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.objective:
            raise ValueError("objective: is empty")
        if "" in self.models:
            raise ValueError("models: one is empty")


@dataclass(frozen=True, slots=True)
class Routing(Strict):
    """Ours: what InferenceObjective and InferenceModelRewrite objects say on Kubernetes."""

    objectives: tuple[ObjectiveEntry, ...] = ()
    model_rewrites: tuple[ModelRewriteEntry, ...] = ()
    objectives_by_model: tuple[ModelObjectiveEntry, ...] = ()
    control_headers: Literal["client", "gateway"] = "client"  # whose priority and tenant counts
    session_headers: tuple[str, ...] = ("x-session-id", "session-id", "session_id")

    def __post_init__(self) -> None:
        names = [entry.name for entry in self.objectives]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"objectives: {name!r} stands twice")
        models = [model for entry in self.objectives_by_model for model in entry.models]
        for model in models:
            if models.count(model) > 1:
                raise ValueError(f"objectivesByModel: model {model!r} stands twice")
        if sum(not entry.models for entry in self.objectives_by_model) > 1:
            raise ValueError("objectivesByModel: more than one entry has no models")


@dataclass(frozen=True, slots=True)
class Document(Strict):
    api_version: Literal["llm-d.ai/v1alpha1", "inference.networking.x-k8s.io/v1alpha1"]
    kind: Literal["EndpointPickerConfig"]
    feature_gates: tuple[str, ...] = ()
    plugins: tuple[PluginEntry, ...] = ()
    scheduling_profiles: tuple[SchedulingProfile, ...] = ()
    shadow_profiles: tuple[ShadowProfile, ...] = ()  # ours
    live_profile: str = ""  # ours: the one of all these that decides; empty: no shadow does
    data_layer: DataLayer = DataLayer()
    flow_control: FlowControl | None = None
    request_handler: RequestHandler = RequestHandler()
    saturation_detector: PluginReference | None = None  # deprecated place of flowControl's
    parser: PluginReference | None = None  # deprecated form of requestHandler.parsers
    routing: Routing = Routing()


def only_in_shadows(document: Document) -> frozenset[str]:
    """Plugins that no scheduling profile refers to: what counts by being listed does not count."""
    deciding = {p.plugin_ref for profile in document.scheduling_profiles for p in profile.plugins}
    looking_on = {p.plugin_ref for profile in document.shadow_profiles for p in profile.plugins}
    return frozenset(looking_on - deciding)
