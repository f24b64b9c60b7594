"""Figures that the model must give before anything that it says is believed.

Each is simulated, and stands beside what a table, a formula or a publication says.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random
from statistics import fmean
from typing import Final

from epp.config.build import read_configuration
from epp.simulation.fleet.clients import Clients
from epp.simulation.fleet.engine import FleetEngine
from epp.simulation.fleet.records import RunRecords
from epp.simulation.fleet.requests import FleetRequest
from epp.simulation.fleet.run import FleetRun
from epp.simulation.fleet.segments import Segment
from epp.simulation.fleet.servers import FleetSettings
from epp.simulation.fleet.settings import RunSettings
from epp.simulation.laboratory.cell import Cell, simulate
from epp.simulation.laboratory.staircase import staircase
from epp.simulation.policies.catalogue import policy
from epp.simulation.workloads.arrivals import OpenLoop, Timed
from epp.simulation.workloads.turns import Texts, Turn

# Milliseconds by profile: one sequence of 512 tokens decodes a token; prompts of 256 and 2048
# tokens are computed. By hand, from the same fits of published kernel profiles.
UNLOADED_MS: Final = {
    "8b-h100": (7.0, 11, 68),
    "8b-a100": (11, 26, 191),
    "8b-l4": (69, 98, 582),
    "32b-h100-tp2": (19, 27, 139),
    "70b-h100-tp4": (22, 32, 165),
    "70b-h100-tp8": (15, 20, 90),
}
PEAK_PREFILL: Final = ("32b-h100-tp2", 15_928.0)  # tokens per second, measured on a live server
# Of a published run: output tokens per second in the best stage, milliseconds by token in the last.
STAIRCASE: Final = {"round-robin": (7049.0, 135.5), "sticky": (14_941.0, 43.9)}


@dataclass(frozen=True, slots=True)
class Reading:
    """One figure beside what it should be."""

    gate: str
    what: str
    measured: float
    low: float
    high: float
    source: str

    @property
    def passed(self) -> bool:
        return self.low <= self.measured <= self.high


def near(
    gate: str, what: str, measured: float, expected: float, tolerance: float, source: str
) -> Reading:
    slack = tolerance * abs(expected)
    return Reading(gate, what, measured, expected - slack, expected + slack, source)


def unloaded() -> list[Reading]:
    """One request on an idle server without noise, network left out."""
    readings: list[Reading] = []
    source = "step formula by hand"
    for profile, (decode, short, long) in UNLOADED_MS.items():
        for tokens, expected in ((256, short), (2048, long)):
            first, _ = _alone(profile, tokens, 1)
            what = f"{profile}: first token of {tokens}, ms"
            readings.append(near("1 unloaded", what, 1000 * first, expected, 0.15, source))
        _, gap = _alone(profile, 512, 11)
        what = f"{profile}: token after 512, ms"
        readings.append(near("1 unloaded", what, 1000 * gap, decode, 0.15, source))
    return readings


def _alone(profile: str, prompt: int, output: int) -> tuple[float, float]:
    """Seconds to the first token, and between the following."""
    quiet = replace(FleetSettings((profile,)).engine(profile), jitter_sigma=0, stall_probability=0)
    engine = FleetEngine(quiet, Random(1))
    request = FleetRequest([Segment(1, prompt)], output)
    engine.submit(request, 0.0)
    while not engine.idle:
        engine.step()
    gap = (request.last_token_at - request.first_token_at) / max(1, output - 1)
    return request.first_token_at, gap


def peak_prefill() -> Reading:
    """Of one server without decodes, by a full step."""
    profile, published = PEAK_PREFILL
    seconds, _ = _alone(profile, 8192, 1)
    what = f"{profile}: prefill, tokens/s"
    return near("2 saturated", what, 8192 / seconds, published, 0.2, "calibration")


def saturated() -> list[Reading]:
    """What a server gives at most, and what eight of them gave in a published staircase."""
    readings = [peak_prefill()]
    for name, (peak, by_token) in STAIRCASE.items():
        stages = staircase(policy(name))
        best = max(stage.output_tokens_per_second for stage in stages)
        last = 1000 * stages[-1].ntpot_p50
        gate, what = "2 saturated", f"b2b-saas staircase, {name}"
        readings += [
            near(gate, f"{what}: peak output, tokens/s", best, peak, 0.2, "published run"),
            near(gate, f"{what}: p50 by token, ms", last, by_token, 0.2, "published run"),
        ]
    return readings


def queueing(shares: Sequence[float] = (0.3, 0.6, 0.8)) -> list[Reading]:
    """A server that computes one prompt a step is a queue whose mean wait is known."""
    profile = "8b-a100"
    service, _ = _alone(profile, 2048, 1)
    readings: list[Reading] = []
    for share in shares:
        settings = RunSettings(
            FleetSettings((profile,)),
            warmup_seconds=100.0,
            window_seconds=3000.0,
            scrape_seconds=30.0,
            network_seconds=0.0,
        )
        records = _run(settings, "random", OpenLoop(share / service), _new_prompts(2048, 1))
        wait = service * share / (2 * (1 - share))
        measured = fmean(record.ttft_seconds for record in records.requests if record.served)
        what = f"{profile}: mean first token at {share:.0%} load, ms"
        expected, source = 1000 * (service + wait), "M/D/1"
        readings.append(near("3 queueing", what, 1000 * measured, expected, 0.15, source))
    return readings


def accounting() -> list[Reading]:
    """Blocks under pressure: held and free ones are always all, and none is held at the end."""
    settings = replace(FleetSettings(("8b-l4",)).engine("8b-l4"), num_blocks=1001)
    engine, rng, texts = FleetEngine(settings, Random(1)), Random(2), Texts()
    shared = [texts.new(300) for _ in range(10)]
    wrong = 0
    for number in range(300):
        at = number * 0.2
        while engine.ends_at <= at:
            engine.step()
            wrong += engine.cache.blocks_in_free_list() + engine.cache.held != 1000
        segments = [rng.choice(shared), texts.new(rng.randint(20, 2000))]
        engine.submit(FleetRequest(segments, rng.randint(1, 300)), at)
    while not engine.idle:
        engine.step()
        wrong += engine.cache.blocks_in_free_list() + engine.cache.held != 1000
    gate, source = "4 accounting", "by definition"
    return [
        Reading(gate, "preemptions: there is pressure", engine.preemptions, 1, math.inf, source),
        Reading(gate, "steps with blocks lost or doubled", wrong, 0, 0, source),
        Reading(gate, "blocks held when idle", engine.cache.held, 0, 0, source),
    ]


def hit_rate() -> list[Reading]:
    """One server with room for all, 2048 of 2560 tokens shared: all but the first find 80 %."""
    settings = RunSettings(FleetSettings(("8b-h100",)), warmup_seconds=0.0, window_seconds=101.0)
    load = Timed(tuple(float(n) for n in range(100)))
    records = _run(settings, "random", load, _new_prompts(512, 1, shared=2048))
    found = sum(record.cached_tokens for record in records.requests)
    measured = found / sum(record.prompt_tokens for record in records.requests)
    what = "tokens found of 100 prompts"
    return [near("5 hit rate", what, measured, 0.8 * 0.99, 1e-9, "99 of 100 times 2048 of 2560")]


def ordering() -> list[Reading]:
    """Where much is shared affinity matters much, and where nothing is little."""
    gate, source = "6 ordering", "published orderings"
    share = {
        (workload, name): simulate(Cell(workload, "8x32b-h100-tp2", rate, policy(name))).good_share
        for workload, rate in (("b2b-saas", 20.0), ("azure-conversation", 20.0))
        for name in ("random", "sticky")
    }
    return [
        Reading(gate, f"{workload}, sticky minus random: good, points", 100 * gain, *ends, source)
        for workload, ends in (
            ("b2b-saas", (30.0, 100.0)),
            ("azure-conversation", (-10.0, 20.0)),
        )
        for gain in (share[workload, "sticky"] - share[workload, "random"],)
    ]


def determinism() -> list[Reading]:
    cell = Cell("zipf", "2x8b-h100", 10.0, policy("power-of-two"), warm=False, seconds=10.0)
    one, other, next_seed = simulate(cell), simulate(cell), simulate(replace(cell, seed=2))
    differing = sum(
        repr(one.as_dict()[name]) != repr(other.as_dict()[name]) for name in one.as_dict()
    )
    gate, source = "7 determinism", "by definition"
    return [
        Reading(gate, "figures that differ with the same seed", differing, 0, 0, source),
        Reading(gate, "requests differ with another", one != next_seed, 1, 1, source),
    ]


GATES: Final[Sequence[Callable[[], list[Reading]]]] = (
    *(unloaded, saturated, queueing, accounting, hit_rate, ordering, determinism),
)


def _new_prompts(tokens: int, output: int, shared: int = 0) -> Iterator[Sequence[Turn]]:
    texts = Texts()
    opening = (texts.new(shared),) if shared else ()
    while True:
        yield (Turn((*opening, texts.new(tokens)), output),)


def _run(
    settings: RunSettings,
    name: str,
    load: OpenLoop | Timed,
    sessions: Iterator[Sequence[Turn]],
) -> RunRecords:
    clients = Clients(sessions, load, Random(3))
    return FleetRun(settings, read_configuration(policy(name)), clients).run()
