"""From the document to the settings of the rooms: references are followed, defaults filled in."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from epp.config.data_layer import Sources
from epp.config.decode import decode
from epp.config.detector import chosen_detector
from epp.config.differences import differences
from epp.config.document import (
    Document,
    FlowControl,
    PluginEntry,
    PriorityBand,
    Quantity,
    Routing,
)
from epp.config.errors import ConfigError
from epp.config.needs import resolved
from epp.config.producers import PrefixProducers, check_producers, flow_headers
from epp.config.references import check_references, parsers, types_by_name
from epp.config.rooms import (
    ACCEPTED,
    KNOWN_ELSEWHERE,
    ROOMS,
    FileDiscoveryParameters,
    NoParameters,
)
from epp.config.scheduling import SchedulingBuilder
from epp.config.settings import Configuration
from epp.config.yaml_text import load
from epp.core.duration import parse_duration
from epp.core.quantity import parse_quantity
from epp.datalayer.discovery.file import FileDiscoverySettings
from epp.flowcontrol.settings import BandSettings, Fairness, FlowControlSettings, Ordering
from epp.routing.settings import (
    ModelObjective,
    ModelRewrite,
    Objective,
    RoutingSettings,
    Rule,
    Target,
)
from epp.scheduling.catalogue import BadOffer, DuplicateType, discover
from epp.scheduling.interfaces import Admitter, Plugin

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

DEFAULT_DIFFERENCE = (
    "no document: marginal-cost-scorer decides alone; in the Go picker queue-scorer, "
    "kv-cache-utilization-scorer and prefix-cache-scorer do, with the weights 2, 2 and 3"
)

GATES = {"flowControl", "haPopulateNonLeaderDatastore"}


def read_configuration(text: str | None = None) -> Configuration:
    """Without text, the built-in default. Raises ConfigError with every problem that it finds."""
    if text is not None:
        return configuration_of(load(text))
    found = configuration_of(load(DEFAULT_DOCUMENT))
    return replace(found, differences=(DEFAULT_DIFFERENCE, *found.differences))


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
    # To a type without parameters anything may be given; `_stray_parameters` tells of it.
    given = entry.parameters if _has_parameters(cls) else None
    return decode(cls, given or {}, f"{where}.parameters")


def _has_parameters(cls: type[object]) -> bool:
    return not is_dataclass(cls) or bool(fields(cls))


@dataclass(slots=True)
class _Builder:
    data: Mapping[str, Any]
    document: Document
    instances: Mapping[str, object]

    def build(self) -> Configuration:
        gate = self._flow_control_gate()
        check_references(self.document)
        check_producers(self.document, self.instances)
        sources = Sources(self.document, self.instances)
        scraping = sources.scraping()
        prefixes = PrefixProducers(self.document, self.instances)
        scheduling = SchedulingBuilder(self.document, self.instances).build()
        chosen = chosen_detector(self.document, self.instances, waits=gate is not False)
        return Configuration(
            profile=scheduling.profile,
            staged=scheduling.staged,
            shadows=scheduling.shadows,
            detector=chosen.detector,
            flow_control=self._flow_control(gate),
            discovery=self._discovery(),
            prefix_cache=prefixes.settings(),
            scraping=scraping,
            parsers=parsers(self.document),
            flow_headers=flow_headers(self.instances),
            admitters={n: i for n, i in self.instances.items() if isinstance(i, Admitter)},
            routing=_routing(self.document.routing),
            control_from_clients=self.document.routing.control_headers == "client",
            session_headers=tuple(h.lower() for h in self.document.routing.session_headers),
            differences=(
                *differences(self.document, gate),
                *chosen.notes,
                *sources.notes(),
                *prefixes.notes(),
                *self._stray_parameters(),
                *scheduling.notes,
            ),
            document=self.data,
        )

    def _stray_parameters(self) -> list[str]:
        return [
            f"plugins[{index}].parameters: without effect, {entry.type} has none"
            for index, entry in enumerate(self.document.plugins)
            if entry.parameters and not _has_parameters(type(self.instances[entry.reference]))
        ]

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

    def _flow_control(self, gate: bool | None) -> FlowControlSettings | None:
        if gate is False:
            return None
        given = self.document.flow_control or FlowControl()
        defaults = BandSettings()
        template = self._band(given.default_priority_band, defaults)
        negative = self._band(given.default_negative_priority_band, template)
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
            bands={band.priority: self._band(band, defaults) for band in given.priority_bands},
        )

    def _band(self, band: PriorityBand | None, template: BandSettings) -> BandSettings:
        """What is not given is the template's; so is a limit of 0: a band is never unlimited."""
        if band is None:
            return template
        fairness = self._policy(Fairness, band.fairness_policy_ref)
        ordering = self._policy(Ordering, band.ordering_policy_ref)
        return BandSettings(
            _number(band.max_requests) or template.max_requests,
            _number(band.max_bytes) or template.max_bytes,
            fairness or template.fairness,
            ordering or template.ordering,
        )

    def _policy(self, kind: type[E], reference: str) -> E | None:
        """By the name of an instance, or by its type; None if nothing is named."""
        return kind(types_by_name(self.document).get(reference, reference)) if reference else None

    def _discovery(self) -> FileDiscoverySettings | None:
        reference = self.document.data_layer.discovery
        if reference is None:
            return None
        where = "dataLayer.discovery.pluginRef"
        plugin = self._find(reference.plugin_ref, where)
        if not isinstance(plugin, FileDiscoveryParameters):
            raise ConfigError([f"{where}: '{reference.plugin_ref}' does not discover endpoints"])
        return FileDiscoverySettings(Path(plugin.path), plugin.watch_file)

    def _find(self, name: str, where: str) -> object:
        if name not in self.instances:
            raise ConfigError([f"{where}: references undefined plugin '{name}'"])
        return self.instances[name]


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
