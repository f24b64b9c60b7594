"""What one plugin of the document needs of another: session producers and custom series."""

from __future__ import annotations

from collections.abc import Mapping

from epp.config.document import Document
from epp.config.errors import ConfigError
from epp.config.rooms import CoreMetrics, SessionIdProducer
from epp.scheduling.attributes import ATTRIBUTES
from epp.scheduling.plugins.endpoint_attribute_filter import EndpointAttributeFilter
from epp.scheduling.plugins.endpoint_attribute_scorer import EndpointAttributeScorer
from epp.scheduling.sessions import SessionAffinity


def resolved(document: Document, instances: Mapping[str, object]) -> Mapping[str, object]:
    """The plugins by name with what they need filled in. Raises ConfigError for what is missing."""
    problems: list[str] = []
    found = dict(instances)
    sources = {
        name: instance.source
        for name, instance in instances.items()
        if isinstance(instance, SessionIdProducer)
    }
    attributes = {*ATTRIBUTES, *_custom_keys(instances)}
    for index, entry in enumerate(document.plugins):
        where = f"plugins[{index}].parameters"
        match instances[entry.reference]:
            case SessionAffinity() as plugin:
                try:
                    found[entry.reference] = plugin.reading(sources)
                except KeyError as error:
                    place = f"{where}.sessionIdConfig.sources"
                    problems.append(f"{place}: no session-id-producer {error}")
            case EndpointAttributeFilter(attribute=name) if name not in attributes:
                problems.append(f"{where}.attribute: {_nobody_reads(name)}")
            case EndpointAttributeScorer(attribute_key=name) if name not in attributes:
                problems.append(f"{where}.attributeKey: {_nobody_reads(name)}")
            case _:
                pass
    if problems:
        raise ConfigError(problems)
    return found


def _custom_keys(instances: Mapping[str, object]) -> set[str]:
    return {
        metric.attribute_key
        for instance in instances.values()
        if isinstance(instance, CoreMetrics)
        for engine in instance.engine_configs
        for metric in engine.custom_metrics
    }


def _nobody_reads(name: str) -> str:
    return (
        f"{name!r} is none of {', '.join(ATTRIBUTES)}, and no engine of core-metrics-extractor "
        "has customMetrics with this key"
    )
