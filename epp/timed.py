"""Which parts of a request's way are timed, in one of so many decisions, plugin by plugin."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from epp.core.endpoint import Endpoint
from epp.core.stopwatch import DATA_PRODUCER, REQUEST_PARSING, TIMED_EVERY, Part, Stopwatch
from epp.director import Arrival
from epp.flowcontrol.attempt import PlacingAttempt
from epp.flowcontrol.staged_attempt import StagedAttempt
from epp.flowcontrol.surroundings import Surroundings
from epp.flowcontrol.timed import TimedTurns
from epp.payloads.payload import Payload
from epp.scheduling.interfaces import Admitter
from epp.scheduling.profile import Profile
from epp.scheduling.staged import StagedScheduler
from epp.scheduling.timed import TimedAdmitter, TimedProfile, TimedStages
from epp.telemetry.metrics import PREFIX_INDEX

# The parser that the document would name, by the family of the payload.
PARSERS: Final = {
    "chat-completions": "openai-parser",
    "completions": "openai-parser",
    "responses": "openai-parser",
    "embeddings": "openai-parser",
    "conversations": "openai-parser",
    "messages": "anthropic-parser",
    "generate": "vllmhttp-parser",
    "passthrough": "passthrough-parser",
}


def with_turns(attempt: PlacingAttempt, profile: Profile, stopwatch: Stopwatch) -> PlacingAttempt:
    """The attempt, which leaves every so manieth decision to one that is timed."""
    timed = PlacingAttempt(TimedProfile(profile, stopwatch), _timed(attempt.around, stopwatch))
    return replace(attempt, timed=TimedTurns(timed, stopwatch, TIMED_EVERY))


def with_staged_turns(
    attempt: StagedAttempt, scheduler: StagedScheduler, stopwatch: Stopwatch
) -> StagedAttempt:
    """The same of stages."""
    around = _timed(attempt.around, stopwatch)
    timed = StagedAttempt(TimedStages(scheduler, stopwatch), around)
    return replace(attempt, timed=TimedTurns(timed, stopwatch, TIMED_EVERY))


def timed_admitters(
    admitters: Mapping[str, Admitter], stopwatch: Stopwatch | None
) -> Sequence[Admitter | TimedAdmitter]:
    """In the order of the document, by name there."""
    if stopwatch is None:
        return tuple(admitters.values())
    return tuple(TimedAdmitter(name, plugin, stopwatch) for name, plugin in admitters.items())


class TimedReading:
    """Reads payloads, and takes the time of some."""

    def __init__(self, read: Callable[[Arrival], Payload], stopwatch: Stopwatch) -> None:
        self._read = read
        self._stopwatch = stopwatch
        self._timers = {
            api: stopwatch.timer(Part(REQUEST_PARSING, parser, parser))
            for api, parser in PARSERS.items()
        }
        self._left = 1

    def __call__(self, arrival: Arrival) -> Payload:
        """Raises Refused for what no engine would take; that is not timed."""
        self._left -= 1
        if self._left > 0:
            return self._read(arrival)
        began = self._stopwatch.clock()
        payload = self._read(arrival)
        self._left = TIMED_EVERY
        self._timers[payload.api].ran_since(began)
        return payload


def _timed(around: Surroundings, stopwatch: Stopwatch) -> Surroundings:
    match_prefix = around.match_prefix
    if match_prefix is None:
        return around
    name, kind = PREFIX_INDEX["plugin_name"], PREFIX_INDEX["plugin_type"]
    timer, matches = stopwatch.timer(Part(DATA_PRODUCER, kind, name)), match_prefix

    def match(
        blocks: Sequence[int], endpoints: Sequence[Endpoint], token_ratio: float
    ) -> dict[Endpoint, int]:
        began = stopwatch.clock()
        matched = matches(blocks, endpoints, token_ratio)
        timer.ran_since(began, len(endpoints), len(matched))
        return matched

    return replace(around, match_prefix=match)
