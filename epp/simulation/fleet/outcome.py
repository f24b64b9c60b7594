"""What a run comes to, in the figures that people compare."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from epp.simulation.fleet.engine import HELD_UP
from epp.simulation.fleet.records import Record, RunRecords, ServerUse
from epp.simulation.fleet.servers import ROLES_THAT_ANSWER


@dataclass(frozen=True, slots=True)
class Objectives:
    """When an answer was good enough."""

    ttft_seconds: float
    tpot_seconds: float

    def met(self, record: Record) -> bool:
        return (
            record.served
            and record.ttft_seconds <= self.ttft_seconds
            and record.tpot_seconds <= self.tpot_seconds
        )


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of the measured requests of one run. NaN where nothing was served.

    A request that got no first token by the end of the run counts in the quantiles with the time
    that it had waited by then, so that nothing looks better for being left undone.
    """

    requests: int
    good_share: float  # met both objectives, of all that were asked
    served_share: float
    refused_share: float
    goodput: float  # good answers per second
    output_tokens_per_second: float
    ttft_p50: float
    ttft_p90: float
    ttft_p99: float
    ttft_mean: float
    tpot_p50: float
    tpot_p90: float
    gap_p50: float
    gap_p99: float
    seconds_mean: float
    seconds_p50: float
    seconds_p90: float
    seconds_p99: float
    hit_rate: float  # tokens found in caches, of all prompt tokens
    preemptions: float  # per request
    waited_p99: float  # in the picker
    imbalance: float  # requests of the busiest server over the mean of those that answer
    fairness: float  # Jain index of the good share of flows; 1 is fair
    # Of the time of all servers; where they have roles, of those of the role where it is the most.
    # Of servers without roles the rest of the first four is idle.
    prefill_share: float  # steps take longer by this than their decodes alone
    encoding_share: float  # of images
    decode_share: float
    loading_share: float  # of adapters
    kv_cache_usage: float  # mean share that live requests hold
    held_up_by_prefill: float  # somebody waits, for the step computes as much as it may
    held_up_by_images: float  # for it encodes for other servers as much as it may
    held_up_by_places: float  # for the batch is full
    held_up_by_memory: float  # for the KV cache is full
    held_up_by_adapters: float  # for no adapter slot is free

    def as_dict(self) -> dict[str, float]:
        return asdict(self)


def outcome_of(records: RunRecords, objectives: Objectives, servers: int) -> Outcome:
    asked = records.requests
    served = [record for record in asked if record.served]
    good = sum(1 for record in asked if objectives.met(record))
    seconds = records.window[1] - records.window[0]
    ttft = sorted(_ttft(record, records.ended_at) for record in asked if not record.refusal)
    tpot = sorted(record.tpot_seconds for record in served if record.output_tokens > 1)
    whole = sorted(record.seconds for record in served)
    waited = sorted(record.waited_seconds for record in asked if record.server >= 0)
    sent = [0] * servers
    for record in asked:
        if record.server >= 0:
            sent[record.server] += 1
    prompts = sum(record.prompt_tokens for record in served)
    uses = records.servers
    answering = sum(1 for use in uses if use.role in ROLES_THAT_ANSWER)
    share = _Shares(uses, seconds)
    return Outcome(
        requests=len(asked),
        good_share=_share(good, len(asked)),
        served_share=_share(len(served), len(asked)),
        refused_share=_share(sum(1 for record in asked if record.refusal), len(asked)),
        goodput=good / seconds,
        output_tokens_per_second=records.output_tokens / seconds,
        ttft_p50=quantile(ttft, 0.5),
        ttft_p90=quantile(ttft, 0.9),
        ttft_p99=quantile(ttft, 0.99),
        ttft_mean=_mean(ttft),
        tpot_p50=quantile(tpot, 0.5),
        tpot_p90=quantile(tpot, 0.9),
        gap_p50=records.gaps.quantile(0.5),
        gap_p99=records.gaps.quantile(0.99),
        seconds_mean=_mean(whole),
        seconds_p50=quantile(whole, 0.5),
        seconds_p90=quantile(whole, 0.9),
        seconds_p99=quantile(whole, 0.99),
        hit_rate=_share(sum(record.cached_tokens for record in served), prompts),
        preemptions=_share(sum(record.preemptions for record in asked), len(asked)),
        waited_p99=quantile(waited, 0.99),
        imbalance=_share(max(sent, default=0) * answering, sum(sent)),
        fairness=_fairness(asked, objectives.met),
        prefill_share=share.of(lambda use: use.prefilling),
        encoding_share=share.of(lambda use: use.encoding),
        decode_share=share.of(_decoding),
        loading_share=share.of(lambda use: use.loading),
        kv_cache_usage=share.of(lambda use: use.kv_cache),
        **{f"held_up_by_{what}": share.held_up_by(what) for what in HELD_UP},
    )


def _decoding(use: ServerUse) -> float:
    return use.busy - use.prefilling - use.encoding - use.loading


class _Shares:
    """Of the time of the servers of a role, the most that there is."""

    def __init__(self, uses: Sequence[ServerUse], seconds: float) -> None:
        self._seconds = seconds
        self._by_role: dict[str, list[ServerUse]] = {}
        for use in uses:
            self._by_role.setdefault(use.role, []).append(use)

    def of(self, seconds: Callable[[ServerUse], float]) -> float:
        return max(
            sum(seconds(use) for use in uses) / (len(uses) * self._seconds)
            for uses in self._by_role.values()
        )

    def held_up_by(self, what: str) -> float:
        return self.of(lambda use: use.held_up.get(what, 0.0))


def quantile(ascending: Sequence[float], share: float) -> float:
    """The smallest value that at least so many are not above; NaN if there is none."""
    if not ascending:
        return math.nan
    return ascending[max(0, math.ceil(share * len(ascending)) - 1)]


def _ttft(record: Record, ended_at: float) -> float:
    if math.isnan(record.first_token_at):
        return ended_at - record.asked_at
    return record.ttft_seconds


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan


def _share(part: float, whole: float) -> float:
    return part / whole if whole else math.nan


def _fairness(asked: Sequence[Record], met: Callable[[Record], bool]) -> float:
    """Jain's index over flows; those without a name are one."""
    flows: dict[str, list[int]] = {}
    for record in asked:
        flow = flows.setdefault(record.flow, [0, 0])
        flow[0] += met(record)
        flow[1] += 1
    shares = [good / total for good, total in flows.values()]
    squares = sum(share * share for share in shares)
    return sum(shares) ** 2 / (len(shares) * squares) if squares else math.nan
