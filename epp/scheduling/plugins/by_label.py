"""Keep endpoints whose label has one of some values. Deprecated for `label-selector-filter`."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from epp.core.endpoint import Endpoint
from epp.core.request import RequestFacts
from epp.scheduling.interfaces import Filter


@dataclass(frozen=True, slots=True)
class ByLabel(Filter):
    type_name: ClassVar[str] = "by-label"

    label: str
    valid_values: tuple[str, ...] = ()
    allows_no_label: bool = False  # keep those without the label too

    def __post_init__(self) -> None:
        if not self.label:
            raise ValueError("label: is empty")
        if not self.valid_values and not self.allows_no_label:
            raise ValueError("validValues: without any, and without allowsNoLabel, none is kept")

    def keep(self, request: RequestFacts, endpoints: Sequence[Endpoint]) -> Sequence[Endpoint]:
        return [endpoint for endpoint in endpoints if self._matches(endpoint)]

    def fit_key(self, request: RequestFacts) -> Hashable:
        return None

    def _matches(self, endpoint: Endpoint) -> bool:
        value = endpoint.labels.get(self.label)
        return self.allows_no_label if value is None else value in self.valid_values
