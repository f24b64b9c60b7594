"""Where metrics are read and what they mean: of all sources and extractors, those in force."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from epp.config.document import DataSource, Document
from epp.config.errors import ConfigError
from epp.config.references import types_by_name
from epp.config.rooms import CORE_EXTRACTOR, METRICS_SOURCE, CoreMetrics, MetricsSource
from epp.datalayer.scraping.settings import ScrapeSettings

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Sources:
    """References are checked before."""

    document: Document
    instances: Mapping[str, object]  # every configured plugin, by name
    problems: list[str] = field(default_factory=list)

    def scraping(self) -> ScrapeSettings:
        """Raises ConfigError."""
        self._check()
        source, core = self._source(), self.core()
        if self.problems:
            raise ConfigError(self.problems)
        return ScrapeSettings(path=source.path, port=source.port, engines=core.engines())

    def core(self) -> CoreMetrics:
        found = {
            f"{where}.extractors[{position}].pluginRef": self.instances.get(extractor.plugin_ref)
            for where, source in self._metrics_sources().items()
            for position, extractor in enumerate(source.extractors)
        }
        return self._only(found, CORE_EXTRACTOR, CoreMetrics) or CoreMetrics()

    def notes(self) -> list[str]:
        """What a user of this document may not expect."""
        layer, sources = self.document.data_layer, self._metrics_sources()
        found: list[str] = []
        if layer.peer_discovery is not None:
            found.append("dataLayer.peerDiscovery: without effect, in the Go picker too")
        if layer.cross_replica_sync_interval is not None:
            found.append(
                "dataLayer.crossReplicaSyncInterval: without effect, replicas tell each other "
                "nothing"
            )
        if not sources and not layer.inject_defaults:
            found.append(
                "dataLayer.injectDefaults: false, and loads are read all the same; the Go picker "
                "knows none then"
            )
        for where, source in sources.items():
            if not any(self._is_core(e.plugin_ref) for e in source.extractors):
                found.append(
                    f"{where}.extractors: names no {CORE_EXTRACTOR}, and loads are read all the "
                    "same; the Go picker knows none then"
                )
        named = {source.plugin_ref for source in sources.values()}
        if sources and layer.inject_defaults and METRICS_SOURCE not in named:
            found.append(
                f"{next(iter(sources))}: the only place where metrics are read; unless "
                f"injectDefaults is false the Go picker reads those of {METRICS_SOURCE} too"
            )
        return found + self._not_in_force()

    def _check(self) -> None:
        layer = self.document.data_layer
        if layer.cross_replica_syncer_plugin_ref:
            self.problems.append(
                "dataLayer.crossReplicaSyncerPluginRef: there is no plugin that tells other "
                "replicas anything"
            )
        if not layer.sources and not layer.inject_defaults:
            self.problems.append(
                "dataLayer: without sources and with injectDefaults false nothing would be read"
            )
        types = types_by_name(self.document)
        for index, source in enumerate(layer.sources):
            kinds = [types.get(extractor.plugin_ref) for extractor in source.extractors]
            for position, kind in enumerate(kinds):
                if kind in kinds[:position]:
                    where = f"dataLayer.sources[{index}].extractors[{position}].pluginRef"
                    self.problems.append(f"{where}: the source has a {kind} already")

    def _source(self) -> MetricsSource:
        found = {
            f"{where}.pluginRef": self.instances.get(source.plugin_ref)
            for where, source in self._metrics_sources().items()
        }
        return self._only(found, METRICS_SOURCE, MetricsSource) or MetricsSource()

    def _only(self, found: Mapping[str, object], kind: str, cls: type[T]) -> T | None:
        """The one that sources name, else the one that is listed by its type alone."""
        chosen: T | None = None
        chosen_at = ""
        for where, instance in found.items():
            if not isinstance(instance, cls):
                continue
            if chosen is not None and instance != chosen:
                self.problems.append(
                    f"{where}: a second {kind} beside that of {chosen_at}; in this version there "
                    "is one"
                )
            elif chosen is None:
                chosen, chosen_at = instance, where
        usual = self.instances.get(kind)
        return usual if chosen is None and isinstance(usual, cls) else chosen

    def _metrics_sources(self) -> Mapping[str, DataSource]:
        """By place."""
        return {
            f"dataLayer.sources[{index}]": source
            for index, source in enumerate(self.document.data_layer.sources)
            if isinstance(self.instances.get(source.plugin_ref), MetricsSource)
        }

    def _is_core(self, name: str) -> bool:
        return isinstance(self.instances.get(name), CoreMetrics)

    def _not_in_force(self) -> list[str]:
        """They act through `dataLayer` alone, but those that are there by default have its name."""
        sources = self._metrics_sources().values()
        named = {source.plugin_ref for source in sources}
        extracting = {
            e.plugin_ref
            for source in sources
            for e in source.extractors
            if self._is_core(e.plugin_ref)
        }
        in_force = {*(named or {METRICS_SOURCE}), *(extracting or {CORE_EXTRACTOR})}
        return [
            f"plugins[{index}]: without effect, no source of dataLayer names '{entry.reference}'"
            for index, entry in enumerate(self.document.plugins)
            if isinstance(self.instances[entry.reference], MetricsSource | CoreMetrics)
            and entry.reference not in in_force
        ]
