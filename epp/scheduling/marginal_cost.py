"""What a request would cost the whole pool on each endpoint: its own time and that of the others.

Plugins stay interpreted, since others subclass them; these loops are compiled.
"""

from __future__ import annotations

from collections.abc import Sequence

from epp.core.endpoint import Endpoint
from epp.core.request import RequestFacts


def marginal_costs(request: RequestFacts, endpoints: Sequence[Endpoint]) -> list[float]:
    """The lower the better; only differences between endpoints mean something.

    In prompt tokens: those in front of the request, its own, and its own once more for every
    request in flight, since all of those stand still while it is computed.
    """
    foreign_tokens = _tokens_of_a_foreign_request(endpoints)
    costs: list[float] = []
    for endpoint in endpoints:
        load = endpoint.load
        in_flight = load.requests + load.foreign
        backlog = load.prefilling_tokens + load.foreign * foreign_tokens
        costs.append(backlog + uncached_tokens(request, endpoint) * (1.0 + in_flight))
    return costs


def uncached_tokens(request: RequestFacts, endpoint: Endpoint) -> int:
    """Prompt tokens that the endpoint would have to compute: one at least, as engines do."""
    return max(1, request.prompt_tokens - request.cached_tokens.get(endpoint, 0))


def _tokens_of_a_foreign_request(endpoints: Sequence[Endpoint]) -> float:
    """Tokens still to be computed: as many as one of ours has on average over these endpoints."""
    requests = tokens = 0
    for endpoint in endpoints:
        requests += endpoint.load.requests
        tokens += endpoint.load.prefilling_tokens
    return tokens / requests if requests else 0.0
