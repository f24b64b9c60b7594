"""Prefer endpoints that have a label with the value of a request header."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from epp.core.endpoint import Endpoint
from epp.core.request import RequestFacts
from epp.scheduling.interfaces import Scorer


@dataclass(frozen=True, slots=True)
class HeaderLabelAffinityScorer(Scorer):
    """1 where the values are equal, else 0. A request without the header prefers none."""

    type_name: ClassVar[str] = "header-label-affinity-scorer"

    header_name: str
    label_key: str

    def __post_init__(self) -> None:
        if not self.header_name:
            raise ValueError("headerName: is empty")
        if not self.label_key:
            raise ValueError("labelKey: is empty")

    def score(self, request: RequestFacts, endpoints: Sequence[Endpoint]) -> Sequence[float]:
        wanted = request.headers.get(self.header_name.lower(), "")
        if not wanted:
            return [0.0] * len(endpoints)
        key = self.label_key
        return [1.0 if endpoint.labels.get(key) == wanted else 0.0 for endpoint in endpoints]
