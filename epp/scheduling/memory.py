"""What the stateful plugins of one profile remember, and the plain plugins that they act as."""

from __future__ import annotations

import random
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, TypeVar

from epp.core.endpoint import Endpoint
from epp.core.request import RequestFacts
from epp.scheduling.interfaces import (
    Filter,
    Picker,
    Plugin,
    Scorer,
    Stateful,
    StatefulFilter,
    StatefulPicker,
    StatefulScorer,
)

P = TypeVar("P", bound=Plugin)


@dataclass(slots=True, unsafe_hash=True)
class Memory:
    """Of one configured instance in one profile. Equal where the configuration is."""

    name: str  # of the instance
    plugin: Stateful
    state: Any = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if self.state is None:
            self.state = self.plugin.new_state()

    def snapshot(self) -> Mapping[str, object]:
        """A copy in plain values."""
        return asdict(self.state)

    def restore(self, snapshot: Mapping[str, object]) -> None:
        """Remember what a snapshot of an instance with the same parameters says."""
        for found in fields(self.state):
            setattr(self.state, found.name, snapshot[found.name])


@dataclass(frozen=True, slots=True)
class RememberingFilter(Filter):
    plugin: StatefulFilter
    memory: Memory

    def __str__(self) -> str:
        return str(self.plugin)

    def keep(self, request: RequestFacts, endpoints: Sequence[Endpoint]) -> Sequence[Endpoint]:
        return self.plugin.keep(self.memory.state, request, endpoints)

    def fit_key(self, request: RequestFacts) -> Hashable:
        return self.plugin.fit_key(request)


@dataclass(frozen=True, slots=True)
class RememberingScorer(Scorer):
    plugin: StatefulScorer
    memory: Memory

    def __str__(self) -> str:
        return str(self.plugin)

    def score(self, request: RequestFacts, endpoints: Sequence[Endpoint]) -> Sequence[float]:
        return self.plugin.score(self.memory.state, request, endpoints)


@dataclass(frozen=True, slots=True)
class RememberingPicker(Picker):
    plugin: StatefulPicker
    memory: Memory

    def __str__(self) -> str:
        return str(self.plugin)

    def pick(
        self,
        endpoints: Sequence[Endpoint],
        scores: Sequence[float],
        count: int,
        rng: random.Random,
    ) -> Sequence[Endpoint]:
        return self.plugin.pick(self.memory.state, endpoints, scores, count, rng)

    @property
    def count(self) -> int:
        return self.plugin.count


def remembering(name: str, plugin: object) -> object:
    """A stateful plugin as the plain kind that it is, with a memory of its own; others as given."""
    match plugin:
        case StatefulFilter():
            return RememberingFilter(plugin, Memory(name, plugin))
        case StatefulScorer():
            return RememberingScorer(plugin, Memory(name, plugin))
        case StatefulPicker():
            return RememberingPicker(plugin, Memory(name, plugin))
        case _:
            return plugin


def joined(deciding: Sequence[Memory], shadows: Sequence[Memory]) -> list[Memory]:
    """Equal ones remember the same from now on.

    Returns those that no deciding one is equal to, each once: somebody has to tell them what is
    decided.
    """
    told: list[Memory] = []
    for memory in shadows:
        for known in (*deciding, *told):
            if known == memory:
                memory.state = known.state
                break
        else:
            told.append(memory)
    return told


def memory_of(plugin: Plugin) -> Memory | None:
    """None of a plugin that remembers nothing."""
    if isinstance(plugin, RememberingFilter | RememberingScorer | RememberingPicker):
        return plugin.memory
    return None


def type_of(plugin: Plugin) -> str:
    """Its word in the document."""
    memory = memory_of(plugin)
    return plugin.type_name if memory is None else memory.plugin.type_name


def with_new_memory(plugin: P) -> P:
    """The same plugin, which remembers nothing so far."""
    if isinstance(plugin, RememberingFilter | RememberingScorer | RememberingPicker):
        return replace(plugin, memory=Memory(plugin.memory.name, plugin.plugin))
    return plugin
