"""When sessions begin: at a rate, or as many at a time as there are clients."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True)
class OpenLoop:
    """A renewal process with gamma gaps; a coefficient of variation of 1 is Poisson."""

    rate: float  # sessions per second
    variation: float = 1.0
    gentle_seconds: float = 0.0  # at the start, in which caches fill
    gentle_share: float = 0.4  # of the rate, in that time

    def __post_init__(self) -> None:
        if self.rate <= 0 or self.variation <= 0 or self.gentle_share <= 0:
            raise ValueError(f"rate, variation and share must be above 0: {self}")

    def starts(self, rng: Random) -> Iterator[float]:
        """Seconds from the start of the run, without end."""
        shape = self.variation**-2
        scale = 1.0 / (self.rate * shape)
        worked = 0.0  # seconds at the full rate
        gentle = self.gentle_seconds * self.gentle_share
        while True:
            worked += rng.expovariate(self.rate) if shape == 1.0 else rng.gammavariate(shape, scale)
            if worked < gentle:
                yield worked / self.gentle_share
            else:
                yield self.gentle_seconds + worked - gentle


@dataclass(frozen=True, slots=True)
class ClosedLoop:
    """So many clients; each begins a new session when its last one has ended."""

    clients: int
    ramp_seconds: float = 10.0  # over which they begin, evenly

    def __post_init__(self) -> None:
        if self.clients < 1 or self.ramp_seconds < 0:
            raise ValueError(f"a closed loop has at least one client, not {self.clients}")


@dataclass(frozen=True, slots=True)
class Timed:
    """Sessions begin when a trace says."""

    starts: tuple[float, ...]  # seconds from the start of the run, ascending


Load = OpenLoop | ClosedLoop | Timed
