"""One request on one server, from the pick to the end: what it is expected to do, and marks."""

from __future__ import annotations

import math
from dataclasses import dataclass

from epp.core.decision import Lease
from epp.core.endpoint import Endpoint
from epp.estimation.residency import Tier


@dataclass(slots=True, eq=False)
class Stay:
    """Times are monotonic seconds. Marks are readings of the server's counters."""

    endpoint: Endpoint
    lease: Lease
    request_id: str
    model: str  # as the server knows it
    adapter: str  # empty for a base model
    adapter_tier: Tier  # where the adapter was when the request was placed
    prompt_tokens: int  # estimated
    rule_tokens: float  # of the prompt by the rule of four bytes, before any correction
    believed_tokens: int  # cached, as far as the index knew
    shows_first_token: bool  # whether its end of prefill will be seen
    placed_at: float
    order: int = 0  # of picks, over all servers
    prefill_seconds: float = math.nan  # expected; NaN where it is not estimated
    prefilling: bool = True
    adapter_waits: bool = False  # for a slot that others had when it was placed
    loads_before: int = 0  # of adapters on its server, that were over when it came
    alone: bool = True  # no other server works on it before its answer begins
    moved: bool = False  # to another server than the one picked
    first_token_at: float = math.nan
    prefilled_mark: float = 0.0  # at the beginning of what is measured: the pick or first token
    in_flight_mark: float = 0.0
    since: float = 0.0  # when these marks were read
    ended_at: float = math.inf  # with success
    ahead_tokens: float = 0.0  # to be computed there when it was picked, its own included

    @property
    def uncached_tokens(self) -> int:
        return self.lease.uncached_tokens

    @property
    def loads(self) -> bool:
        """Whether more than its prompt keeps it from its first token, and may keep others."""
        return self.adapter_waits or self.adapter_tier is not Tier.RESIDENT

    @property
    def new_tokens(self) -> int:
        """Of the prompt, that the server has to hold: it computes them, or gets them computed."""
        if self.alone:
            return self.uncached_tokens
        return max(0, self.prompt_tokens - self.believed_tokens)


@dataclass(slots=True, eq=False)
class Life:
    """What was measured of a request that is over. Its outputs may be told later."""

    stay: Stay
    seconds: float
    ahead: float  # prompt tokens to be computed until its own were; 0 from the first token on
    prefilled: float  # prompt tokens that the server computed meanwhile
    in_flight: float  # mean, itself included
    outputs: float | None  # tokens of the answer in this time; None where nobody tells

    @property
    def whole(self) -> bool:
        """From the pick on; else from the first token on."""
        return math.isnan(self.stay.first_token_at)
