"""How long a lease is held, renewed and waited for: the values of Kubernetes' own components."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ElectionSettings:
    identity: str  # of this process among all candidates
    lease_seconds: int = 15  # others wait so long after the last sign of life
    renew_deadline_seconds: float = 10.0  # the holder gives up after so long without a renewal
    retry_seconds: float = 2.0  # between two attempts
    jitter: float = 1.2  # a candidate waits up to so many times longer, at random

    def __post_init__(self) -> None:
        if not self.identity:
            raise ValueError("identity: is empty, which means nobody")
        if not self.retry_seconds < self.renew_deadline_seconds < self.lease_seconds:
            raise ValueError("retry, renew deadline and lease: each must be longer than the last")


def lease_name(namespace: str, pool: str) -> str:
    return f"epp-{namespace}-{pool}.llm-d.ai"
