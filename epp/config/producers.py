"""Producers that plugins name: there is one prefix index and one ledger for all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from epp.config.document import Document
from epp.config.errors import ConfigError
from epp.config.references import types_by_name
from epp.config.rooms import LOAD_PRODUCER, PREFIX_PRODUCER, AgentIdentity
from epp.core.spelling import to_camel
from epp.prefixcache.settings import PrefixCacheSettings

# The parameter that names a producer, and the type that this has to be of. One that is of its
# type's name need not be listed.
PREFIX_PARAMETER: Final = "prefix_match_info_producer_name"
PARAMETERS: Final[Mapping[str, str]] = {
    PREFIX_PARAMETER: PREFIX_PRODUCER,
    "in_flight_load_producer_name": LOAD_PRODUCER,
}


def check_producers(document: Document, instances: Mapping[str, object]) -> None:
    """Raises ConfigError for a name that nobody has, or somebody of another kind."""
    types, problems = types_by_name(document), []
    for index, entry in enumerate(document.plugins):
        for parameter, kind in PARAMETERS.items():
            name = getattr(instances[entry.reference], parameter, "")
            where = f"plugins[{index}].parameters.{to_camel(parameter)}"
            if not name or types.get(name, name) == kind:
                continue
            if name in types:
                problems.append(f"{where}: '{name}' is no {kind}")
            else:
                problems.append(f"{where}: references undefined plugin '{name}'")
    if problems:
        raise ConfigError(problems)


@dataclass(frozen=True, slots=True)
class PrefixProducers:
    """Which of them says what the index is like: one that plugins read, before one that is listed.

    Names are checked before.
    """

    document: Document
    instances: Mapping[str, object]  # every configured plugin, by name

    def settings(self) -> PrefixCacheSettings:
        return self._listed().get(self._chosen(), PrefixCacheSettings())

    def notes(self) -> list[str]:
        """What a user of this document may not expect."""
        listed, chosen, read = self._listed(), self._chosen(), set(self._read())
        if not listed:
            return []
        places = {entry.reference: n for n, entry in enumerate(self.document.plugins)}
        place = f"plugins[{places[chosen]}]"
        found: list[str] = []
        if PREFIX_PRODUCER in read and PREFIX_PRODUCER not in listed:
            found.append(
                f"{place}: also for plugins that name no producer; the Go picker makes one with "
                "default parameters for them"
            )
        for name, settings in listed.items():
            if name == chosen:
                continue
            if name not in read:
                found.append(f"plugins[{places[name]}]: without effect, nobody names '{name}'")
            elif settings != listed[chosen]:
                found.append(
                    f"plugins[{places[name]}]: there is one index, with the parameters of {place}; "
                    f"who names '{name}' reads it too"
                )
        return found

    def _chosen(self) -> str:
        """Empty where none is listed."""
        listed = self._listed()
        return next((name for name in self._read() if name in listed), next(iter(listed), ""))

    def _listed(self) -> Mapping[str, PrefixCacheSettings]:
        return {
            name: instance
            for name, instance in self.instances.items()
            if isinstance(instance, PrefixCacheSettings)
        }

    def _read(self) -> Iterator[str]:
        """What plugins name, those that decide first."""
        deciding = {
            plugin.plugin_ref
            for profile in self.document.scheduling_profiles
            for plugin in profile.plugins
        }
        for name in sorted(self.instances, key=lambda name: name not in deciding):
            named = getattr(self.instances[name], PREFIX_PARAMETER, None)
            if named is not None:
                yield named or PREFIX_PRODUCER


def flow_headers(instances: Mapping[str, object]) -> tuple[str, ...]:
    """In lower case, of every plugin that says whose flow a request is of; the first counts."""
    return tuple(
        dict.fromkeys(
            header
            for instance in instances.values()
            if isinstance(instance, AgentIdentity)
            for header in instance.headers
        )
    )
