"""A span as a value: what is said of a piece of work when it is over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

Attribute = str | bool | int | float | Sequence[str] | Sequence[float]

# Instrumentation scopes, by the names that the Go picker's tracers have.
HANDLERS = "llm-d-router/pkg/epp/handlers"
REQUEST_CONTROL = "llm-d-router/pkg/epp/requestcontrol"
SCHEDULING = "llm-d-router/pkg/epp/scheduling"


@dataclass(slots=True)
class Span:
    name: str
    began: float  # monotonic seconds
    ended: float
    scope: str = SCHEDULING
    attributes: dict[str, Attribute] = field(default_factory=dict)
    serves: bool = False  # of kind server, else internal
    error: str | None = None  # None: all went well
    children: list[Span] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Spans in all."""
        return 1 + sum([child.size for child in self.children])
