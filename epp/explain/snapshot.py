"""All that a decision read, taken at its moment: enough to take it again in another process.

Kept are the facts of the request without its prompt, the headers that a plugin looked at, every
reachable endpoint with its load and its metrics, what stateful plugins remember, the configuration
document and the seed of what is drawn.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Final

from epp.compose import Picker
from epp.configured import Scheduler
from epp.core.endpoint import Endpoint
from epp.core.request import RequestFacts
from epp.explain.plain import encode, encode_fields, field_names, name_of
from epp.scheduling.memory import Memory

SNAPSHOT_VERSION: Final = 1

# Of the request: what is recorded in another form, says something of the prompt, or is not read.
UNRECORDED: Final = ("headers", "prefix_blocks", "cached_tokens", "full", "laps")


class NotedHeaders(Mapping[str, str]):
    """Headers that remember which of them were looked at."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._headers = headers
        self.read: set[str] = set()  # also those that were looked for in vain

    def __getitem__(self, name: str) -> str:
        self.read.add(name)
        return self._headers[name]

    def __iter__(self) -> Iterator[str]:
        self.read.update(self._headers)
        return iter(self._headers)

    def __len__(self) -> int:
        return len(self._headers)

    def noted(self) -> dict[str, str]:
        return {name: self._headers[name] for name in sorted(self.read) if name in self._headers}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Values and copies, which nobody changes: `as_dict` may be called later and elsewhere."""

    now: float
    seed: int
    document: Mapping[str, Any]  # of the configuration
    waits: bool  # whether endpoints need room, as flow control has it
    use_subset: bool
    facts: RequestFacts
    headers: NotedHeaders
    endpoints: Sequence[Mapping[str, object]]  # fields of the reachable ones
    memories: Mapping[str, Mapping[str, object]]  # of stateful plugins, by profile and instance

    def as_dict(self) -> dict[str, Any]:
        """JSON-able. Raises CannotRecord for what a plugin or a room brought that is no value."""
        return {
            "version": SNAPSHOT_VERSION,
            "now": self.now,
            "seed": str(self.seed),
            "configuration": self.document,
            "waits": self.waits,
            "use_subset": self.use_subset,
            "request": {
                **encode_fields(self.facts, "request", UNRECORDED),
                "headers": self.headers.noted(),
                "prefix_block_count": len(self.facts.prefix_blocks),
            },
            "cached_tokens": {
                name_of(endpoint): tokens for endpoint, tokens in self.facts.cached_tokens.items()
            },
            "endpoints": encode(self.endpoints, "endpoints"),
            "memories": {name: encode(state, name) for name, state in self.memories.items()},
        }


def capture(picker: Picker, facts: RequestFacts, now: float, seed: int) -> Snapshot:
    """Call right before the decision: `facts.headers` notes from now on which are looked at."""
    headers = NotedHeaders(facts.headers)
    facts.headers = headers
    return Snapshot(
        now=now,
        seed=seed,
        document=picker.configuration.document,
        waits=picker.configuration.flow_control is not None,
        use_subset=picker.use_subset,
        facts=facts,
        headers=headers,
        endpoints=_copied(picker.store.candidates),
        memories={
            name: memory.snapshot()
            for name, memory in memories_of(picker.configured.scheduler).items()
        },
    )


def memories_of(scheduler: Scheduler) -> dict[str, Memory]:
    """What its stateful plugins remember, by profile and name of the instance."""
    return {
        f"{name}/{memory.name}": memory
        for name, profile in scheduler.profiles.items()
        for memory in profile.memories
    }


def _copied(endpoints: Sequence[Endpoint]) -> list[Mapping[str, object]]:
    """Their fields; of values that are changed in place, the fields of those.

    Column by column, since a request may wait for it: a thousand endpoints take 3 ms.
    """
    if not endpoints:
        return []
    names = field_names(endpoints[0])
    rows = map(attrgetter(*names), endpoints)
    columns = [_settled(column) for column in zip(*rows, strict=True)]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _settled(values: Sequence[object]) -> Sequence[object]:
    """The same values, but for those that somebody may change."""
    takers = {kind: _taker(kind, values) for kind in set(map(type, values)) if _changes(kind)}
    if not takers:
        return values
    return [
        take(value) if (take := takers.get(type(value))) is not None else value for value in values
    ]


def _changes(kind: type) -> bool:
    if not dataclasses.is_dataclass(kind):
        return False
    parameters = getattr(kind, "__dataclass_params__", None)
    return parameters is None or not parameters.frozen


def _taker(kind: type, values: Sequence[object]) -> Callable[[object], dict[str, object]]:
    """Takes the fields of one kind of dataclass."""
    names = field_names(next(value for value in values if type(value) is kind))
    read = attrgetter(*names)
    if len(names) == 1:
        return lambda value: {names[0]: read(value)}
    return lambda value: dict(zip(names, read(value), strict=True))
