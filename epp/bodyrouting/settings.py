"""What is read from a body and which headers it becomes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MODEL_FIELD: Final = "model"
MODEL_HEADER: Final = "x-gateway-model-name"
BASE_MODEL_HEADER: Final = "x-gateway-base-model-name"


@dataclass(frozen=True, slots=True)
class FieldHeader:
    """A top-level field of the body, and the header that gets its value (in lower case)."""

    field: str
    header: str


@dataclass(frozen=True, slots=True)
class RoutingSettings:
    fields: tuple[FieldHeader, ...] = (FieldHeader(MODEL_FIELD, MODEL_HEADER),)
    base_model: bool = True  # set the base model's header, too
    # Of a request body that is held until all fields are found. What is sent on at once has none.
    max_held_bytes: int = 64 << 20
    body_timeout_seconds: float = 600.0  # from the headers to the end of the request body

    def names(self) -> tuple[str, ...]:
        """The fields to read, each once."""
        names = dict.fromkeys(pair.field for pair in self.fields)
        if self.base_model:
            names[MODEL_FIELD] = None
        return tuple(names)

    def headers(self) -> tuple[str, ...]:
        """All headers that are ours to set, and that no client may."""
        # Also those that the default configuration would set: a route may still read them.
        ours = (*(pair.header for pair in self.fields), MODEL_HEADER, BASE_MODEL_HEADER)
        return tuple(dict.fromkeys(ours))
