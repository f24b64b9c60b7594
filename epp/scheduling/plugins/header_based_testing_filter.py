"""Keep the endpoints that a test header names, for the gateway conformance suite."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from epp.core.endpoint import Endpoint
from epp.core.request import RequestFacts
from epp.scheduling.interfaces import Filter

HEADER = "test-epp-endpoint-selection"


@dataclass(frozen=True, slots=True)
class HeaderBasedTestingFilter(Filter):
    """A comma list of `ip` or `ip:port`. Without the header no endpoint is kept.

    An entry without a port stands for one endpoint of that address.
    """

    type_name: ClassVar[str] = "header-based-testing-filter"

    def keep(self, request: RequestFacts, endpoints: Sequence[Endpoint]) -> Sequence[Endpoint]:
        kept: list[Endpoint] = []
        for entry in request.headers.get(HEADER, "").split(","):
            wanted = entry.strip()
            bare = wanted.removeprefix("[").removesuffix("]")
            for endpoint in endpoints:
                if endpoint.authority == wanted or endpoint.address == bare:
                    if endpoint not in kept:
                        kept.append(endpoint)
                    break
        return kept

    def fit_key(self, request: RequestFacts) -> Hashable:
        return request.headers.get(HEADER, "")
