"""References to plugins: the name must be there, and the plugin must be of the kind that is meant.

Those of profiles, the detector and discovery are followed where these are built.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from epp.config.document import DataLayer, Document, FlowControl
from epp.config.errors import ConfigError
from epp.config.rooms import (
    ACCEPTED,
    CORE_EXTRACTOR,
    KNOWN_ELSEWHERE,
    METRICS_SOURCE,
    MODELS_EXTRACTOR,
    MODELS_SOURCE,
    NOTIFICATION_SOURCE,
    PARSERS,
    ROOMS,
    USAGE_LIMIT,
)
from epp.flowcontrol.settings import Fairness, Ordering


@dataclass(frozen=True, slots=True)
class Kind:
    """What a reference is to."""

    name: str
    types: frozenset[str]
    unlisted: bool = True  # whether a type may be named that is not among the plugins


PARSER: Final = Kind("parser", PARSERS)
SOURCE: Final = Kind(
    "data source",
    frozenset({METRICS_SOURCE, MODELS_SOURCE, NOTIFICATION_SOURCE}),
    unlisted=False,
)
EXTRACTOR: Final = Kind("extractor", frozenset({CORE_EXTRACTOR, MODELS_EXTRACTOR}), unlisted=False)
USAGE_LIMIT_POLICY: Final = Kind("usage limit policy", frozenset({USAGE_LIMIT}))
FAIRNESS_POLICY: Final = Kind("fairness policy", frozenset(f.value for f in Fairness))
ORDERING_POLICY: Final = Kind("ordering policy", frozenset(o.value for o in Ordering))


def types_by_name(document: Document) -> Mapping[str, str]:
    return {entry.reference: entry.type for entry in document.plugins}


def check_references(document: Document) -> None:
    """Raises ConfigError."""
    types = types_by_name(document)
    problems = [
        problem
        for where, name, kind in _references(document)
        if (problem := _problem(where, name, kind, types))
    ]
    if problems:
        raise ConfigError(problems)


def parsers(document: Document) -> tuple[str, ...]:
    """Their types, in order. None at all: the document does not say."""
    types, named = types_by_name(document), document.request_handler.parsers
    if not named and document.parser is not None:
        named = (document.parser,)
    return tuple(types.get(parser.plugin_ref, parser.plugin_ref) for parser in named)


def _problem(where: str, name: str, kind: Kind, types: Mapping[str, str]) -> str:
    """Empty if there is none."""
    if name not in types and not (kind.unlisted and name in {*ROOMS, *ACCEPTED}):
        elsewhere = ", whose type is not in this version" if name in KNOWN_ELSEWHERE else ""
        return f"{where}: references undefined plugin '{name}'{elsewhere}"
    if types.get(name, name) not in kind.types:
        return f"{where}: '{name}' is no {kind.name}"
    return ""


def _references(document: Document) -> Iterator[tuple[str, str, Kind]]:
    """Place, name, and what it has to be."""
    yield from _of_data_layer(document.data_layer)
    for index, parser in enumerate(document.request_handler.parsers):
        yield f"requestHandler.parsers[{index}].pluginRef", parser.plugin_ref, PARSER
    if document.parser is not None:
        yield "parser.pluginRef", document.parser.plugin_ref, PARSER
    if document.flow_control is not None:
        yield from _of_flow_control(document.flow_control)


def _of_data_layer(data_layer: DataLayer) -> Iterator[tuple[str, str, Kind]]:
    for index, source in enumerate(data_layer.sources):
        where = f"dataLayer.sources[{index}]"
        yield f"{where}.pluginRef", source.plugin_ref, SOURCE
        for position, extractor in enumerate(source.extractors):
            yield f"{where}.extractors[{position}].pluginRef", extractor.plugin_ref, EXTRACTOR


def _of_flow_control(flow_control: FlowControl) -> Iterator[tuple[str, str, Kind]]:
    if policy := flow_control.usage_limit_policy_plugin_ref:
        yield "flowControl.usageLimitPolicyPluginRef", policy, USAGE_LIMIT_POLICY
    bands = {f"priorityBands[{n}]": band for n, band in enumerate(flow_control.priority_bands)}
    for name, band in (
        ("defaultPriorityBand", flow_control.default_priority_band),
        ("defaultNegativePriorityBand", flow_control.default_negative_priority_band),
        *bands.items(),
    ):
        if band is not None and band.fairness_policy_ref:
            where = f"flowControl.{name}.fairnessPolicyRef"
            yield where, band.fairness_policy_ref, FAIRNESS_POLICY
        if band is not None and band.ordering_policy_ref:
            where = f"flowControl.{name}.orderingPolicyRef"
            yield where, band.ordering_policy_ref, ORDERING_POLICY
