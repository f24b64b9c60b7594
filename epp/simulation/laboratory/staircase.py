"""The published staircase of b2b-saas: a warm-up, then ever more requests, with pauses between."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from epp.config.build import read_configuration
from epp.simulation.fleet.clients import Clients
from epp.simulation.fleet.outcome import quantile
from epp.simulation.fleet.records import Record
from epp.simulation.fleet.run import FleetRun
from epp.simulation.fleet.servers import FleetSettings
from epp.simulation.fleet.settings import RunSettings
from epp.simulation.workloads.arrivals import Timed
from epp.simulation.workloads.catalogue import CATALOGUE

Stage = tuple[float, float]  # requests per second, seconds

WARMUP: Final[Stage] = (15, 50)
STAGES: Final[Sequence[Stage]] = (
    *((3, 20), (10, 20), (15, 20), (20, 38), (22, 34), (25, 30), (30, 25), (35, 21)),
    *((40, 38), (43, 36), (46, 33), (49, 30), (52, 29), (55, 27), (57, 26), (60, 25)),
)
# From the end of a stage to the next. The published tool waits until all are answered and 30 s
# more; the slowest policy takes that long here.
PAUSE_SECONDS: Final = 400.0
FLEET: Final = ("32b-h100-tp2",) * 8
SCRAPE_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True)
class StageFigures:
    """What the published tool reports of a stage. NaN where nothing was served."""

    output_tokens_per_second: float  # from the start of the stage to its last answer's end
    ttft_p50: float
    ntpot_p50: float  # whole answer by its tokens


def staircase(document: str, stages: Sequence[Stage] = STAGES, seed: int = 1) -> list[StageFigures]:
    """Figures of each stage, one after another in one run."""
    rng = Random(f"staircase {seed}")
    begins, starts = 0.0, list[float]()
    bounds: list[tuple[float, float]] = []
    for rate, seconds in (WARMUP, *stages):
        bounds.append((begins, begins + seconds))
        at = begins + rng.expovariate(rate)
        while at < begins + seconds:
            starts.append(at)
            at += rng.expovariate(rate)
        begins += seconds + PAUSE_SECONDS
    settings = RunSettings(
        FleetSettings(FLEET),
        warmup_seconds=bounds[1][0],
        window_seconds=begins - bounds[1][0],
        scrape_seconds=SCRAPE_SECONDS,
        seed=seed,
    )
    sessions = CATALOGUE["b2b-saas"].sessions(Random(f"asking {seed}"))
    clients = Clients(sessions, Timed(tuple(starts)), rng)
    records = FleetRun(settings, read_configuration(document), clients).run()
    return [_figures(records.requests, first, last) for first, last in bounds[1:]]


def _figures(requests: Sequence[Record], first: float, last: float) -> StageFigures:
    served = [r for r in requests if first <= r.asked_at < last and r.served]
    ends = max((record.ended_at for record in served), default=last)
    return StageFigures(
        sum(record.output_tokens for record in served) / (ends - first),
        quantile(sorted(record.ttft_seconds for record in served), 0.5),
        quantile(sorted(record.seconds / record.output_tokens for record in served), 0.5),
    )
