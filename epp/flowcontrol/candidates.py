"""Which endpoints a request may go to, and which to try when the picked one fails."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from epp.core.decision import Step
from epp.core.endpoint import Endpoint
from epp.core.refusal import Reason, Refused
from epp.core.request import RequestFacts, allows

SUBSET: Final = "gateway's subset"  # as a step of a decision


def within(
    subset: frozenset[str] | None, pool: Sequence[Endpoint], steps: list[Step] | None = None
) -> Sequence[Endpoint]:
    """Those that a gateway's hint lets through; None is all. Raises Refused where it names none."""
    if subset is None:
        return pool
    allowed = [endpoint for endpoint in pool if allows(subset, endpoint)]
    if steps is not None:
        steps.append((SUBSET, allowed))
    if not allowed:
        detail = "failed to find endpoint candidates for serving the request"
        raise Refused(Reason.NO_ENDPOINTS, f"{detail}: the subset hint names none", 1.0)
    return allowed


def check_cached(facts: RequestFacts, picked: Endpoint) -> None:
    """Raises Refused for a request that would rather not be sent where nothing of it is cached."""
    if facts.only_if_cached and not facts.cached_tokens.get(picked):
        raise Refused(Reason.NOT_CACHED, "no decode worker has the requested KV cache")


def with_fallbacks(
    ordered: Sequence[Endpoint], fitting: Sequence[Endpoint], count: int
) -> tuple[Endpoint, ...]:
    """A full endpoint is a better fallback than none: the least loaded of those come last."""
    if len(ordered) >= count or len(ordered) == len(fitting):
        return tuple(ordered)
    chosen = set(ordered)
    rest = [endpoint for endpoint in fitting if endpoint not in chosen]
    rest.sort(key=lambda endpoint: endpoint.load.requests + endpoint.load.foreign)
    return (*ordered, *rest[: count - len(ordered)])
