"""Which base model an adapter belongs to: what files and ConfigMaps say, as one mapping."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

# Served model name, of an adapter or of a base model itself, to the name of its base model.
BaseModels = Mapping[str, str]
NO_BASE_MODELS: Final[BaseModels] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Entry:
    base_model: str
    adapters: tuple[str, ...] = ()


# Each with the place where it stands, for messages.
Entries = Sequence[tuple[str, Entry]]


def joined(entries: Entries) -> tuple[BaseModels, list[str]]:
    """The mapping, and a problem for each name that two base models claim: the first has it."""
    found: dict[str, tuple[str, str]] = {}
    problems: list[str] = []
    for place, entry in entries:
        for name in (entry.base_model, *entry.adapters):
            base, first = found.setdefault(name, (entry.base_model, place))
            if base != entry.base_model:
                problems.append(
                    f"{place}: {name!r} is claimed by {entry.base_model!r}, but belongs to "
                    f"{base!r} already ({first})"
                )
    return MappingProxyType({name: base for name, (base, _) in found.items()}), problems


class BaseModelTable:
    """What all sources say together. A source that was published earlier wins a dispute."""

    def __init__(self) -> None:
        self.current: BaseModels = NO_BASE_MODELS
        self._sources: dict[str, Entries] = {}

    def publish(self, source: str, entries: Entries) -> list[str]:
        """Replaces what this source said before. Returns the disputes between entries."""
        self._sources[source] = entries
        every = [entry for listed in self._sources.values() for entry in listed]
        self.current, problems = joined(every)
        return problems
