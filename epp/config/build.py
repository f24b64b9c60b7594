"""From the document to the settings of the rooms: references are followed, defaults filled in."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from epp.config.decode import decode
from epp.config.differences import differences
from epp.config.document import (
    Document,
    FlowControl,
    PluginEntry,
    PriorityBand,
    Quantity,
    Routing,
    only_in_shadows,
    references,
)
from epp.config.errors import ConfigError
from epp.config.needs import resolved
from epp.config.rooms import (
    ACCEPTED,
    KNOWN_ELSEWHERE,
    ROOMS,
    AgentIdentity,
    CoreMetrics,
    FileDiscoveryParameters,
    MetricsSource,
    NoParameters,
)
from epp.config.scheduling import SchedulingBuilder
from epp.config.settings import Configuration
from epp.config.yaml_text import load
from epp.core.duration import parse_duration
from epp.core.quantity import parse_quantity
from epp.datalayer.discovery.file import FileDiscoverySettings
from epp.datalayer.scraping.settings import ScrapeSettings
from epp.flowcontrol.settings import BandSettings, Fairness, FlowControlSettings, Ordering
from epp.prefixcache.settings import PrefixCacheSettings
from epp.routing.settings import (
    ModelObjective,
    ModelRewrite,
    Objective,
    RoutingSettings,
    Rule,
    Target,
)
from epp.scheduling.catalogue import BadOffer, DuplicateType, discover
from epp.scheduling.interfaces import Admitter, Detector, Plugin
from epp.scheduling.plugins.capacity_detector import CapacityDetector

T = TypeVar("T")
E = TypeVar("E", Fairness, Ordering)

DEFAULT_DOCUMENT = """
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins:
- type: marginal-cost-scorer
schedulingProfiles:
- name: default
  plugins:
  - pluginRef: marginal-cost-scorer
"""

DEFAULT_DETECTOR = CapacityDetector()

GATES = {"flowControl", "haPopulateNonLeaderDatastore"}


def read_configuration(text: str | None = None) -> Configuration:
    """Without text, the built-in default. Raises ConfigError with every problem that it finds."""
    return configuration_of(load(DEFAULT_DOCUMENT if text is None else text))


def configuration_of(data: object) -> Configuration:
    """From the document as plain data. Raises ConfigError."""
    if not isinstance(data, dict):
        raise ConfigError(["document: is not a mapping"])
    document = decode(Document, data, "")
    return _Builder(data, document, _instances(document)).build()


# Once: it looks through all that is installed, and nothing is installed into a running process.
_catalogue = functools.cache(discover)


def _instances(document: Document) -> Mapping[str, object]:
    """Every configured plugin by name: a scheduling plugin or the settings of a room."""
    try:
        catalogue = _catalogue()
    except (BadOffer, DuplicateType) as error:
        raise ConfigError([f"plugins offered by installed packages: {error}"]) from None
    found: dict[str, object] = {}
    problems: list[str] = []
    for index, entry in enumerate(document.plugins):
        where = f"plugins[{index}]"
        if entry.reference in found:
            problems.append(f"{where}: duplicate plugin name '{entry.reference}'")
            continue
        try:
            found[entry.reference] = _instance(entry, catalogue, where)
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
    return resolved(document, found)


def _instance(entry: PluginEntry, catalogue: Mapping[str, type[Plugin]], where: str) -> object:
    cls: type[object] | None = catalogue.get(entry.type) or ROOMS.get(entry.type)
    if cls is None and entry.type in ACCEPTED:
        cls = NoParameters
    if cls is None:
        known = " in this version" if entry.type in KNOWN_ELSEWHERE else ""
        raise ConfigError([f"{where}.type: plugin type '{entry.type}' is not registered{known}"])
    return decode(cls, entry.parameters or {}, f"{where}.parameters")


@dataclass(slots=True)
class _Builder:
    data: Mapping[str, Any]
    document: Document
    instances: Mapping[str, object]

    def build(self) -> Configuration:
        gate = self._flow_control_gate()
        self._check_references()
        scheduling = SchedulingBuilder(self.document, self.instances).build()
        return Configuration(
            profile=scheduling.profile,
            staged=scheduling.staged,
            shadows=scheduling.shadows,
            detector=self._detector(),
            flow_control=self._flow_control(gate),
            discovery=self._discovery(),
            prefix_cache=self._only(PrefixCacheSettings) or PrefixCacheSettings(),
            scraping=self._scraping(),
            flow_headers=identity.headers if (identity := self._only(AgentIdentity)) else (),
            admitters={n: i for n, i in self.instances.items() if isinstance(i, Admitter)},
            routing=_routing(self.document.routing),
            control_from_clients=self.document.routing.control_headers == "client",
            session_headers=tuple(h.lower() for h in self.document.routing.session_headers),
            differences=(*differences(self.document, gate), *scheduling.notes),
            document=self.data,
        )

    def _flow_control_gate(self) -> bool | None:
        """None where the document does not say."""
        state: bool | None = None
        for index, gate in enumerate(self.document.feature_gates):
            name, _, value = gate.partition("=")
            where = f"featureGates[{index}]"
            if name not in GATES:
                raise ConfigError([f"{where}: feature gate '{name}' is unknown or unregistered"])
            if value not in ("", "true", "false"):
                raise ConfigError([f"{where}: '{value}' is not a valid value for '{name}'"])
            if name == "flowControl":
                state = value != "false"
        return state

    def _check_references(self) -> None:
        """Places that name a plugin which is in force anyway: at least it must be one we know."""
        known = {*self.instances, *ROOMS, *ACCEPTED}
        problems = [
            f"{where}: references undefined plugin '{name}'"
            for where, name in references(self.document)
            if name and name not in known
        ]
        if problems:
            raise ConfigError(problems)

    def _detector(self) -> Detector:
        flow_control = self.document.flow_control
        where, reference = "saturationDetector.pluginRef", self.document.saturation_detector
        if flow_control is not None and flow_control.saturation_detector is not None:
            where, reference = f"flowControl.{where}", flow_control.saturation_detector
        if reference is None or reference.plugin_ref not in self.instances:
            name = "utilization-detector" if reference is None else reference.plugin_ref
            if name == "utilization-detector":
                found = self.instances.get(name)
                if reference is None and name in only_in_shadows(self.document):
                    found = None
                return found if isinstance(found, Detector) else DEFAULT_DETECTOR
            raise ConfigError([f"{where}: references undefined plugin '{name}'"])
        plugin = self.instances[reference.plugin_ref]
        if not isinstance(plugin, Detector):
            raise ConfigError([f"{where}: '{reference.plugin_ref}' is not a saturation detector"])
        return plugin

    def _flow_control(self, gate: bool | None) -> FlowControlSettings | None:
        if gate is False:
            return None
        given = self.document.flow_control or FlowControl()
        defaults = BandSettings()
        template = self._band("defaultPriorityBand", given.default_priority_band, defaults)
        negative = self._band(
            "defaultNegativePriorityBand", given.default_negative_priority_band, template
        )
        ttl = _seconds(given.default_request_ttl, 60.0)
        return FlowControlSettings(
            max_requests=_number(given.max_requests),
            max_bytes=_number(given.max_bytes),
            request_ttl_seconds=ttl,
            no_endpoint_ttl_seconds=_seconds(given.no_endpoint_request_ttl, ttl),
            waits_for_endpoints=gate is True or given.no_endpoint_request_ttl is not None,
            sheddable_waits=gate is True,
            default_band=template,
            default_negative_band=negative,
            bands={
                band.priority: self._band(f"priorityBands[{index}]", band, defaults)
                for index, band in enumerate(given.priority_bands)
            },
        )

    def _band(self, name: str, band: PriorityBand | None, template: BandSettings) -> BandSettings:
        """What is not given is the template's; so is a limit of 0: a band is never unlimited."""
        if band is None:
            return template
        where = f"flowControl.{name}"
        fairness = self._policy(Fairness, band.fairness_policy_ref, f"{where}.fairnessPolicyRef")
        ordering = self._policy(Ordering, band.ordering_policy_ref, f"{where}.orderingPolicyRef")
        return BandSettings(
            _number(band.max_requests) or template.max_requests,
            _number(band.max_bytes) or template.max_bytes,
            fairness or template.fairness,
            ordering or template.ordering,
        )

    def _policy(self, kind: type[E], reference: str, where: str) -> E | None:
        """By the name of an instance, or by its type; None if nothing is named."""
        if not reference:
            return None
        types = {entry.reference: entry.type for entry in self.document.plugins}
        try:
            return kind(types.get(reference, reference))
        except ValueError:
            word = kind.__name__.lower()
            raise ConfigError([f"{where}: '{reference}' is no {word} policy"]) from None

    def _discovery(self) -> FileDiscoverySettings | None:
        reference = self.document.data_layer.discovery
        if reference is None:
            return None
        where = "dataLayer.discovery.pluginRef"
        plugin = self._find(reference.plugin_ref, where)
        if not isinstance(plugin, FileDiscoveryParameters):
            raise ConfigError([f"{where}: '{reference.plugin_ref}' does not discover endpoints"])
        return FileDiscoverySettings(Path(plugin.path), plugin.watch_file)

    def _scraping(self) -> ScrapeSettings:
        source = self._only(MetricsSource) or MetricsSource()
        core = self._only(CoreMetrics) or CoreMetrics()
        return ScrapeSettings(path=source.path, port=source.port, engines=core.engines())

    def _find(self, name: str, where: str) -> object:
        if name not in self.instances:
            raise ConfigError([f"{where}: references undefined plugin '{name}'"])
        return self.instances[name]

    def _only(self, cls: type[T]) -> T | None:
        found = [instance for instance in self.instances.values() if isinstance(instance, cls)]
        return found[0] if found else None


def _number(quantity: Quantity | None) -> int:
    return 0 if quantity is None else parse_quantity(str(quantity))


def _seconds(duration: str | None, default: float) -> float:
    return default if duration is None else parse_duration(duration)


def _routing(routing: Routing) -> RoutingSettings:
    return RoutingSettings(
        tuple(Objective(entry.name, entry.priority) for entry in routing.objectives),
        tuple(
            ModelRewrite(
                rewrite.name,
                tuple(
                    Rule(
                        tuple(Target(t.model_rewrite, t.weight) for t in rule.targets),
                        tuple(match.model.value for match in rule.matches),
                    )
                    for rule in rewrite.rules
                ),
            )
            for rewrite in routing.model_rewrites
        ),
        objectives_by_model=tuple(
            ModelObjective(entry.objective, entry.models) for entry in routing.objectives_by_model
        ),
    )
