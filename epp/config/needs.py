"""What one plugin of the document needs of another: session producers and custom series."""

from __future__ import annotations

from collections.abc import Mapping

from epp.config.data_layer import Sources
from epp.config.document import Document
from epp.config.errors import ConfigError
from epp.config.rooms import CORE_EXTRACTOR, CoreMetrics, SessionIdProducer
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
    core = Sources(document, instances).core()
    custom = {m.attribute_key for engine in core.engine_configs for m in engine.custom_metrics}
    attributes = {*ATTRIBUTES, *custom}
    for index, entry in enumerate(document.plugins):
        where = f"plugins[{index}].parameters"
        plugin = instances[entry.reference]
        if isinstance(plugin, EndpointAttributeFilter | EndpointAttributeScorer):
            name = plugin.producer
            if name not in ("", CORE_EXTRACTOR) and not isinstance(
                instances.get(name), CoreMetrics
            ):
                problems.append(f"{where}.producer: no {CORE_EXTRACTOR} {name!r}")
        match plugin:
            case SessionAffinity():
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


def _nobody_reads(name: str) -> str:
    return (
        f"{name!r} is none of {', '.join(ATTRIBUTES)}, and no engine of core-metrics-extractor "
        "has customMetrics with this key"
    )
