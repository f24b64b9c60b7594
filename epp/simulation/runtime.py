"""Engines in real time: a clock that can stand still, one timer, and the way back of tokens."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence

from epp.simulation.engine import Engine, Step
from epp.simulation.requests import EngineRequest


class Clock:
    """Engine seconds: `speed` times as fast as the loop's, and standing still while paused."""

    def __init__(self, loop: asyncio.AbstractEventLoop, speed: float) -> None:
        self.paused = False
        self._loop = loop
        self._speed = speed
        self._loop_anchor = loop.time()
        self._anchor = 0.0

    def now(self) -> float:
        if self.paused:
            return self._anchor
        return self._anchor + (self._loop.time() - self._loop_anchor) * self._speed

    def loop_time(self, moment: float) -> float:
        """When the loop's clock reaches an engine moment, unless it is paused before."""
        return self._loop_anchor + (moment - self._anchor) / self._speed

    def pause(self) -> None:
        self._anchor = self.now()
        self.paused = True

    def resume(self) -> None:
        self._anchor = self.now()
        self._loop_anchor = self._loop.time()
        self.paused = False


class Generation:
    """Tokens of one request on their way from the engine to its connection: a count."""

    def __init__(self) -> None:
        self.produced = 0
        self.broken = False  # the server stopped; nothing more will come
        self._taken = 0
        self._changed = asyncio.Event()

    async def more_than(self, taken: int) -> int:
        """How many tokens there are, once more than `taken` are or the engine is gone."""
        self._taken = taken
        while self.produced <= taken and not self.broken:
            self._changed.clear()
            await self._changed.wait()
        return self.produced

    def add(self) -> None:
        self.produced += 1
        if self.produced > self._taken:
            self._changed.set()

    def break_off(self) -> None:
        self.broken = True
        self._changed.set()


class EngineRuntime:
    """The engines of one server. `on_step` hears of every step, with the rank of its engine."""

    def __init__(
        self, engines: Sequence[Engine], speed: float, on_step: Callable[[int, Step], None]
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._clock = Clock(self._loop, speed)
        self._engines = engines
        self._on_step = on_step
        self._live: dict[EngineRequest, tuple[Engine, Generation]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._armed_for = math.inf
        self._turn = 0
        self._closed = False
        self.aborted = 0  # requests let go before they finished

    @property
    def live(self) -> int:
        """Requests that the engines still hold."""
        return len(self._live)

    @property
    def paused(self) -> bool:
        return self._clock.paused

    def submit(self, request: EngineRequest, rank: int | None = None) -> Generation:
        """Hand a request to the engine of `rank`, or to the least loaded one.

        Raises what `Engine.submit` raises. After `close` nothing is ever produced.
        """
        generation = Generation()
        if self._closed:
            generation.break_off()
            return generation
        now = self._clock.now()
        self._run(now)
        engine = self._engines[self._balance() if rank is None else rank]
        engine.submit(request, now)
        self._live[request] = engine, generation
        self._arm()
        return generation

    def abort(self, request: EngineRequest) -> None:
        """Let go of a request, finished or not."""
        live = self._live.pop(request, None)
        if live is not None:
            engine, _ = live
            engine.abort(request)
            self.aborted += 1

    def pause(self) -> None:
        """Freeze all engines: requests hang, and nothing on the metrics page shows it."""
        self._run(self._clock.now())
        self._clock.pause()
        self._arm()

    def resume(self) -> None:
        if not self._closed:
            self._clock.resume()
            self._arm()

    def close(self) -> None:
        """Stop at once. Whoever waits for tokens is told that none will come."""
        self._closed = True
        self._clock.pause()
        self._arm()
        for _, generation in self._live.values():
            generation.break_off()

    def _balance(self) -> int:
        """The rank with the least load, a waiting request counting as four running ones."""
        count = len(self._engines)
        self._turn = (self._turn + 1) % count
        order = [(self._turn + i) % count for i in range(count)]
        return min(order, key=lambda i: 4 * self._engines[i].waiting + self._engines[i].running)

    def _run(self, now: float) -> None:
        for rank, engine in enumerate(self._engines):
            for step in engine.advance(now):
                self._on_step(rank, step)
                for request in step.emitted:
                    if live := self._live.get(request):
                        live[1].add()
                for request in step.finished:
                    self._live.pop(request, None)

    def _arm(self) -> None:
        when = min(engine.next_event_at() for engine in self._engines)
        if self._clock.paused:
            when = math.inf
        if when == self._armed_for:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._armed_for = when
        if when < math.inf:
            self._timer = self._loop.call_at(self._clock.loop_time(when), self._fire)

    def _fire(self) -> None:
        self._timer = None
        self._armed_for = math.inf
        self._run(self._clock.now())
        self._arm()
