"""An inference request as the deciding rooms see it: values only, no body and no stream."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final

from epp.core.endpoint import Endpoint
from epp.core.estimate import PoolEstimate
from epp.core.stopwatch import Lap

DEFAULT_FLOW: Final = "default-flow"
MAX_NAME_CHARACTERS: Final = 256


@dataclass(slots=True, eq=False)
class RequestFacts:
    """All that placing needs to know. Compared by identity: it is also the waiting ticket."""

    request_id: str
    received_at: float = 0.0  # monotonic seconds; all latencies count from here
    path: str = ""  # without the query
    model: str = ""  # as the client named it; empty if the request names none
    target_model: str = ""  # as the chosen server knows it
    prompt_tokens: int = 0  # estimated
    media_tokens: int = 0  # of them, those of images, videos and audio
    token_ratio: float = 1.0  # tokens that the model's tokenizer makes of four bytes, learned
    max_output_tokens: int | None = None
    streaming: bool = False
    shows_first_token: bool = False  # whether the picker sees when the answer begins
    size_bytes: int = 0  # of the body as received
    headers: Mapping[str, str] = field(default_factory=dict)  # names in lower case
    objective: str = ""
    priority: int = 0  # higher is more important; negative may be shed first
    flow: str = DEFAULT_FLOW  # fairness id
    session: str = ""  # from a session header; empty if the request names none
    takes_lists: bool = False  # the gateway tries the endpoints of a list in turn
    only_if_cached: bool = False  # who asks would rather be refused than have it all computed
    needs_room: bool = True  # false for a request without a body: it costs no inference
    subset: frozenset[str] | None = None  # hosts or host:port that the gateway allows; None is all
    deadline: float = math.inf  # monotonic seconds; waiting ends there at the latest
    prefix_blocks: Sequence[int] = ()  # hash chain of the prompt, first block first
    prefix_tokens: int = 0  # tokens in these blocks
    prefix_bytes: int = 0  # of the prompt, with what is beyond these blocks
    cached_tokens: dict[Endpoint, int] = field(default_factory=dict)  # of them, at this attempt
    ttft_slo_seconds: float = math.inf  # wanted time to the first token; infinite if none is named
    waiting_since: float | None = None  # monotonic seconds; None if it never had to wait
    attempted_at: float = 0.0  # monotonic seconds of the present attempt to place
    peer: Endpoint | None = None  # what the first stage of this attempt picked, for later ones
    stage_picks: tuple[tuple[str, Endpoint], ...] = ()  # profile and pick, of all but decode
    full_profile: str = ""  # of several, the one that had no room at the last attempt
    full: Sequence[Endpoint] = ()  # where it fits, of an attempt in vain
    # At this attempt, where a scorer reads costs:
    estimate: PoolEstimate | None = None  # None: too little is known
    adapter: str = ""  # the target model, if it is a LoRA adapter
    adapter_loads: dict[Endpoint, float] = field(default_factory=dict)  # seconds, if not zero
    adapter_waits: dict[Endpoint, float] = field(default_factory=dict)  # seconds, for a slot
    laps: list[Lap] | None = None  # where the plugins of each attempt are timed; None: nowhere

    def uncached_on(self, endpoint: Endpoint) -> int:
        """Prompt tokens that the endpoint would have to compute: one at least, as engines do."""
        cached = int(self.cached_tokens.get(endpoint, 0) * endpoint.estimate.kept_share)
        return max(1, self.prompt_tokens - cached)


def bounded_name(name: str) -> str:
    """A name that a client chose, as it is kept: a longer one as its beginning and its hash."""
    if len(name) <= MAX_NAME_CHARACTERS:
        return name
    digest = blake2b(name.encode("utf-8", "replace"), digest_size=16).hexdigest()
    return f"{name[: MAX_NAME_CHARACTERS - len(digest) - 1]}~{digest}"


def allows(subset: frozenset[str] | None, endpoint: Endpoint) -> bool:
    """Whether a gateway's subset hint lets an endpoint through, by address or by address:port."""
    return subset is None or endpoint.authority in subset or endpoint.address in subset
