"""How long plugins take, where somebody wants to know. Reads no clock: it is handed one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

# Names of the field for the places where a plugin acts.
REQUEST_PARSING: Final = "RequestParsing"
ADMISSION: Final = "Admission"
DATA_PRODUCER: Final = "DataProducer"
PROFILE_PICKER: Final = "ProfilePicker"
FILTER: Final = "Filter"
SCORER: Final = "Scorer"
PICKER: Final = "Picker"
PROCESS_RESULTS: Final = "ProcessProfilesResults"

# Reading the clock costs more than half a microsecond a plugin, so one run of so many is timed.
TIMED_EVERY: Final = 64


@dataclass(frozen=True, slots=True)
class Timing:
    """For one thing that is timed each time."""

    clock: Callable[[], float]
    observe: Callable[[float], None]


@dataclass(frozen=True, slots=True)
class Part:
    """What is timed: a configured plugin at one of the places where it acts."""

    point: str
    plugin_type: str
    plugin_name: str
    profile: str = ""  # empty outside of profiles


@dataclass(frozen=True, slots=True)
class Lap:
    """One run of a plugin."""

    part: Part
    began: float  # seconds of the stopwatch's clock
    ended: float
    given: int = 0  # endpoints
    left: int = 0  # of them


class Timer:
    """Of one part."""

    __slots__ = ("_observe", "_part", "_stopwatch")

    def __init__(self, stopwatch: Stopwatch, part: Part, observe: Callable[[float], None]) -> None:
        self._stopwatch = stopwatch
        self._part = part
        self._observe = observe

    def ran_since(self, began: float, given: int = 0, left: int = 0) -> None:
        """It began then and has just ended; `given` and `left` are numbers of endpoints."""
        stopwatch = self._stopwatch
        ended = stopwatch.clock()
        self._observe(ended - began)
        if stopwatch.laps is not None:
            stopwatch.laps.append(Lap(self._part, began, ended, given, left))


class Stopwatch:
    """`laps` is a list while every run is to be noted there, beside what the observers are told."""

    __slots__ = ("_observer_of", "clock", "laps")

    def __init__(
        self,
        clock: Callable[[], float],
        observer_of: Callable[[Part], Callable[[float], None]],
    ) -> None:
        """`observer_of` gives for a part who is told the seconds of each of its runs."""
        self.clock = clock
        self.laps: list[Lap] | None = None
        self._observer_of = observer_of

    def timer(self, part: Part) -> Timer:
        return Timer(self, part, self._observer_of(part))
