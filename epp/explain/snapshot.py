"""All that a decision read, taken at its moment: enough to take it again in another process.

Kept are the facts of the request without its prompt, the headers that a plugin looked at, every
reachable endpoint with its load and its metrics, what stateful plugins remember, the configuration
document and the seed of what is drawn.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from epp.compose import Picker
from epp.core.endpoint import Endpoint
from epp.core.request import RequestFacts
from epp.explain.plain import encode, encode_fields, field_names, name_of

SNAPSHOT_VERSION: Final = 1

# Of the request: what is recorded in another form, or says something of the prompt.
UNRECORDED: Final = ("headers", "prefix_blocks", "cached_tokens")


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
    endpoints: Sequence[tuple[str, Mapping[str, object]]]  # names and fields of the reachable ones
    memories: Mapping[str, Mapping[str, object]]  # of stateful plugins, by name of the instance

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
            "endpoints": [
                {key: encode(value, f"{name}.{key}") for key, value in endpoint.items()}
                for name, endpoint in self.endpoints
            ],
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
        endpoints=[(name_of(e), _copied(e)) for e in picker.store.candidates],
        memories={memory.name: memory.snapshot() for memory in picker.policy.profile.memories},
    )


def _copied(endpoint: Endpoint) -> dict[str, object]:
    """Its fields; what is changed in place is copied, values are the same."""
    return {name: _value_of(getattr(endpoint, name)) for name in field_names(endpoint)}


def _value_of(value: object) -> object:
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return value
    parameters = getattr(type(value), "__dataclass_params__", None)
    return value if parameters is not None and parameters.frozen else dataclasses.replace(value)
