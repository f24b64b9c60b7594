"""The room that learns. It is told of every placement, first token and end, and reads no clock.

It proposes whose prefill is over; the ledger, which owns the load, is told by the director.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from epp.core.decision import Lease
from epp.core.endpoint import Endpoint
from epp.core.estimate import PoolEstimate
from epp.core.request import RequestFacts
from epp.core.stages import Role
from epp.estimation.lessons import Lessons, Usage
from epp.estimation.recent import EventRate, RecentMean, RecentPrompts
from epp.estimation.residency import Residency, Tier
from epp.estimation.server import Server
from epp.estimation.stay import Life, Stay

SEEN_ADAPTERS: Final = 4096


class Estimation:
    """One loop is its only user; every method costs the same however much was learned."""

    def __init__(
        self,
        is_adapter: Callable[[str], bool] = lambda _model: False,
        listed: Callable[[Endpoint, str], bool] = lambda _endpoint, _model: False,
    ) -> None:
        """`is_adapter` and `listed` are what the servers' model lists say."""
        self.residency = Residency(listed)
        self._lessons = Lessons(self.residency)
        self._is_adapter = is_adapter
        self._seen_adapters: dict[str, None] = {}  # in metrics
        self._servers: dict[Endpoint, Server] = {}
        self._due: list[tuple[float, int, Server]] = []  # a heap: when to look at whose prefills
        self._order = 0
        self._ended: list[Lease] = []  # prefills that are over, for who asks next
        self._uncached = RecentMean()
        self._arrivals, self._finishes = EventRate(), EventRate()
        self._prompts = RecentPrompts()

    def token_ratio(self, model: str) -> float:
        """Tokens that the model's tokenizer makes of four bytes."""
        return self._lessons.tokens.ratio(model)

    def token_ratios(self) -> Mapping[str, float]:
        """By model, of those whose servers reported tokens."""
        return self._lessons.tokens.known()

    def adapter_of(self, model: str) -> str:
        """The model's name if a server's list or metrics call it a LoRA adapter, else nothing."""
        return model if model in self._seen_adapters or self._is_adapter(model) else ""

    def pool(self, servers: int, now: float) -> PoolEstimate | None:
        """None while not even the prefill is known. `servers` share what arrives."""
        lessons = self._lessons
        base, token, samples, learned_at = lessons.timing.prefill()
        if token <= 0.0 or not servers:
            return None
        outputs = lessons.lengths.mean
        decode, slope, decode_samples, decode_learned_at = lessons.timing.decode(outputs)
        return PoolEstimate(
            prefill_seconds=base,
            prefill_token_seconds=token,
            prefill_samples=samples,
            prefill_learned_at=learned_at,
            decode_seconds=decode,
            decode_slope_seconds=slope,
            decode_samples=decode_samples,
            decode_learned_at=decode_learned_at,
            output_tokens=outputs,
            uncached_tokens=self._uncached.mean,
            residence_seconds=lessons.residence.mean,
            arrival_rate=self._arrivals.per_second(now) / servers,
            finish_rate=self._finishes.per_second(now) / servers,
            prompts=self._prompts.sample,
        )

    def over(self, now: float) -> Sequence[Lease]:
        """Leases whose prefill the clock has ended since it was last asked."""
        leases, self._ended = self._ended, []
        while self._due and self._due[0][0] <= now:
            at, _, server = heapq.heappop(self._due)
            if at == server.look_at:
                server.look_at = math.inf
                leases += _leases(server.prefills.take_due(now))
                self._watch(server)
        return leases

    def placed(self, facts: RequestFacts, lease: Lease, believed_tokens: int, now: float) -> Stay:
        """`believed_tokens` of the prompt are cached there, as far as the index knows.

        Told of every server that computes a prompt or answers; a request counts where it is
        answered.
        """
        endpoint, decodes = lease.endpoint, lease.role is Role.DECODE
        server = self._server(endpoint, now)
        adapter = facts.adapter
        self._order += 1
        waits, tier = False, Tier.RESIDENT
        if adapter:
            waits = self.residency.excess(endpoint, adapter) > 0
            tier = self.residency.enter(endpoint, adapter)
        stay = Stay(
            endpoint=endpoint,
            lease=lease,
            request_id=facts.request_id,
            model=facts.target_model,
            adapter=adapter,
            adapter_tier=tier,
            prompt_tokens=facts.prompt_tokens,
            rule_tokens=facts.prompt_tokens / facts.token_ratio,
            believed_tokens=believed_tokens,
            shows_first_token=facts.shows_first_token,
            adapter_waits=waits,
            alone=not (decodes and facts.stage_picks),
            placed_at=now,
            order=self._order,
            prefill_seconds=self._lessons.timing.expected_prefill(endpoint, lease.uncached_tokens),
        )
        self._enter(server, stay, now)
        server.arrived(now)
        if decodes:
            self._arrivals.add(now)
            self._uncached.add(stay.new_tokens)
            self._prompts.add(facts.prompt_tokens)
        return stay

    def moved(self, stay: Stay, endpoint: Endpoint, now: float) -> None:
        """Another server took the request. Nobody saw when, so nothing is learned of it."""
        prefilling = stay.prefilling
        left = self._servers.get(stay.endpoint)
        if left is not None:
            left.leave(stay, now)
            self._watch(left)
        if stay.adapter:
            self.residency.leave(stay.endpoint, stay.adapter)
            stay.adapter_waits = self.residency.excess(endpoint, stay.adapter) > 0
            stay.adapter_tier = self.residency.enter(endpoint, stay.adapter)
        self._order += 1
        stay.endpoint, stay.order, stay.moved = endpoint, self._order, True
        stay.prefilling = prefilling
        stay.prefill_seconds = self._lessons.timing.expected_prefill(endpoint, stay.uncached_tokens)
        self._enter(self._server(endpoint, now), stay, now)

    def first_token(self, stay: Stay, now: float) -> Sequence[Lease]:
        """Returns the leases whose prefill this ends or proves to be over."""
        server = self._servers.get(stay.endpoint)
        if server is None or not math.isnan(stay.first_token_at):
            return ()
        stay.first_token_at = now
        proven = _leases(server.prefills.take_proven(stay.order, now))
        if stay.prefilling:
            proven.append(stay.lease)
            server.prefills.finish(stay, now)
        self._watch(server)
        if stay.alone or stay.uncached_tokens:  # else another server computed the prompt
            seconds = server.since_first_token(stay, now)
            if stay.alone:
                others_load = server.prefills.others_load(stay)
                self._lessons.prefill(stay, server.in_flight, seconds, others_load, now)
        server.mark(stay, now)
        return proven

    def prefilled(self, stay: Stay, succeeded: bool, now: float) -> Sequence[Lease]:
        """A server that does not answer itself has done its part, some time before now.

        Returns other leases whose prefill that proves over.
        """
        return self._leave(stay, succeeded, now)[0]

    def finished(
        self, stay: Stay, succeeded: bool, usage: Usage | None, now: float
    ) -> Sequence[Lease]:
        """Without success nothing is learned. Returns other leases whose prefill it proves over."""
        self._finishes.add(now)
        proven, life = self._leave(stay, succeeded, now)
        if life is not None:
            counted = self._servers[stay.endpoint].counts_tokens(now)
            self._lessons.life(life, usage, counted, now)
        return proven

    def reported(self, request_id: str, usage: Usage, now: float) -> Endpoint | None:
        """Usage that came after the end. Returns who served, if that is still known."""
        stay = self._lessons.usage_of(request_id, usage, self._servers, now)
        return None if stay is None else stay.endpoint

    def read(self, endpoint: Endpoint) -> None:
        """A scrape came: what it shows holds what was placed before."""
        endpoint.estimate.tokens_since_reading = 0
        seen = self._seen_adapters
        for adapter in endpoint.metrics.running_adapters:
            if adapter not in seen and len(seen) < SEEN_ADAPTERS:
                seen[adapter] = None
        server = self._servers.get(endpoint)
        if server is None:
            return
        if (window := server.window()) is not None:
            now = endpoint.metrics.generated_tokens_read_at
            if self._lessons.window(endpoint, window, server.own_share, now):
                server.counted_at = now
        self._count(server, endpoint.metrics.first_tokens_read_at)

    def _count(self, server: Server, now: float) -> None:
        """A server's counter says whose prefills are over, where no first token is seen."""
        counted, gap = server.counted(), server.counting_gap_seconds
        if counted is None:
            if gap == math.inf:
                server.prefills.uncounted()
                self._watch(server)
            return
        stays = counted.stays
        before = stays[-1].order + 1 if stays else 0
        self._ended += _leases(server.prefills.counted(before, counted.since, gap, now))
        self._watch(server)
        if stays and not any(stay.shows_first_token for stay in stays):
            seconds = server.since_counted(counted, now)
            self._lessons.counted(stays, server.in_flight, seconds, gap, now)

    def restarted(self, endpoint: Endpoint) -> None:
        """Its server lost what it had cached and loaded. Its speed is the same."""
        self.residency.restarted(endpoint)
        self._lessons.kept.forget(endpoint)

    def forget(self, endpoint: Endpoint) -> None:
        """The endpoint left the pool; its requests may still end."""
        self._servers.pop(endpoint, None)
        self.residency.forget(endpoint)
        self._lessons.forget(endpoint)

    def _server(self, endpoint: Endpoint, now: float) -> Server:
        server = self._servers.get(endpoint)
        if server is None:
            server = self._servers[endpoint] = Server(endpoint, now)
        return server

    def _leave(
        self, stay: Stay, succeeded: bool, now: float
    ) -> tuple[Sequence[Lease], Life | None]:
        """Whose prefill that proves over, and after a success what was measured of it."""
        if stay.adapter:
            self.residency.leave(stay.endpoint, stay.adapter)
        server = self._servers.get(stay.endpoint)
        if server is None:
            return (), None
        proven: Sequence[Lease] = ()
        life: Life | None = None
        if succeeded:
            proven = _leases(server.prefills.take_proven(stay.order, now))
            if stay.prefilling:
                server.prefills.finish(stay, now)
            life = server.measured(stay, now)
            stay.ended_at = now
        server.leave(stay, now)
        self._watch(server)
        return proven, life

    def _enter(self, server: Server, stay: Stay, now: float) -> None:
        self._ended += _leases(server.prefills.take_due(now))
        server.enter(stay, now)
        self._watch(server)

    def _watch(self, server: Server) -> None:
        """One entry of the heap a server counts: the one at `look_at`."""
        due_at = server.prefills.due_at
        if due_at < server.look_at:
            server.look_at = due_at
            self._order += 1
            heapq.heappush(self._due, (due_at, self._order, server))


def _leases(stays: Sequence[Stay]) -> list[Lease]:
    return [stay.lease for stay in stays]
