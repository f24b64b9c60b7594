import asyncio
from random import Random

import pytest

from epp.simulation.engine import Engine, QueueFull, Step
from epp.simulation.profiles import PROFILES
from epp.simulation.requests import EngineRequest
from epp.simulation.runtime import Clock, EngineRuntime
from epp.simulation.scheduler import EngineSettings


class Fleet:
    """A runtime with its engines and the steps that it reported."""

    def __init__(self, ranks: int = 1, *, speed: float = 1000.0, **limits: int) -> None:
        settings = EngineSettings(PROFILES["8b-h100"], 101, **limits)  # type: ignore[arg-type]
        self.engines = [Engine(settings, Random(rank)) for rank in range(ranks)]
        self.steps: list[tuple[int, Step]] = []
        self.runtime = EngineRuntime(self.engines, speed, lambda *step: self.steps.append(step))


async def test_tokens_arrive_and_nothing_is_left() -> None:
    fleet = Fleet()
    generation = fleet.runtime.submit(EngineRequest("r", 100, 20))
    assert await generation.more_than(19) == 20
    assert fleet.runtime.live == 0
    assert sum(len(step.emitted) for _, step in fleet.steps) == 20


async def test_a_reader_sees_every_token_in_turn() -> None:
    fleet = Fleet()
    generation = fleet.runtime.submit(EngineRequest("r", 10, 30))
    seen = 0
    while seen < 30:
        more = await generation.more_than(seen)
        assert more > seen
        seen = more
    assert seen == 30


async def test_requests_go_to_the_least_loaded_rank() -> None:
    fleet = Fleet(ranks=3)
    fleet.runtime.pause()
    for i in range(9):
        fleet.runtime.submit(EngineRequest(str(i), 10, 50))
    assert [engine.running + engine.waiting for engine in fleet.engines] == [3, 3, 3]


async def test_waiting_requests_count_as_load_of_a_rank() -> None:
    fleet = Fleet(ranks=2)
    fleet.runtime.pause()
    for rank in (0, 0, 0, 1):
        fleet.runtime.submit(EngineRequest("pinned", 10, 50), rank=rank)
    for i in range(2):
        fleet.runtime.submit(EngineRequest(str(i), 10, 50))
    assert [engine.running + engine.waiting for engine in fleet.engines] == [3, 3]


async def test_a_pinned_rank_is_obeyed() -> None:
    fleet = Fleet(ranks=3)
    fleet.runtime.pause()
    for i in range(4):
        fleet.runtime.submit(EngineRequest(str(i), 10, 50), rank=1)
    assert [engine.running + engine.waiting for engine in fleet.engines] == [0, 4, 0]


async def test_a_paused_server_is_silent_until_it_resumes() -> None:
    fleet = Fleet()
    fleet.runtime.pause()
    generation = fleet.runtime.submit(EngineRequest("r", 10, 5))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(generation.more_than(0), 0.05)
    assert fleet.engines[0].gauges.running == 0
    fleet.runtime.resume()
    assert await generation.more_than(4) == 5


async def test_an_abort_frees_the_engine() -> None:
    fleet = Fleet()
    doomed = EngineRequest("a", 10, 1000)
    generation = fleet.runtime.submit(doomed)
    await generation.more_than(3)
    fleet.runtime.abort(doomed)
    other = fleet.runtime.submit(EngineRequest("b", 10, 5))
    await other.more_than(4)
    assert (fleet.runtime.live, fleet.runtime.aborted) == (0, 1)
    assert fleet.engines[0].kv_cache_usage == 0.0


async def test_letting_go_of_a_finished_request_is_no_abort() -> None:
    fleet = Fleet()
    request = EngineRequest("r", 10, 2)
    await fleet.runtime.submit(request).more_than(1)
    fleet.runtime.abort(request)
    assert fleet.runtime.aborted == 0


async def test_a_refused_request_leaves_nothing() -> None:
    fleet = Fleet(max_num_seqs=1, max_queued_requests=0)
    fleet.runtime.pause()
    fleet.runtime.submit(EngineRequest("a", 10, 5))
    with pytest.raises(QueueFull):
        fleet.runtime.submit(EngineRequest("b", 10, 5))
    assert fleet.runtime.live == 1


async def test_closing_breaks_off_what_runs_and_what_comes_later() -> None:
    fleet = Fleet(speed=0.001)
    running = fleet.runtime.submit(EngineRequest("a", 10, 5))
    fleet.runtime.close()
    late = fleet.runtime.submit(EngineRequest("b", 10, 5))
    fleet.runtime.resume()
    assert (await running.more_than(0), running.broken) == (0, True)
    assert (await late.more_than(0), late.broken) == (0, True)


async def test_time_stands_still_while_paused() -> None:
    clock = Clock(asyncio.get_running_loop(), speed=10.0)
    clock.pause()
    before = clock.now()
    await asyncio.sleep(0.01)
    assert clock.now() == before
    clock.resume()
    await asyncio.sleep(0.01)
    assert clock.now() > before


async def test_resuming_what_runs_loses_no_time() -> None:
    clock = Clock(asyncio.get_running_loop(), speed=10.0)
    await asyncio.sleep(0.01)
    before = clock.now()
    clock.resume()
    assert clock.now() >= before


async def test_engine_moments_map_to_the_loop_and_back() -> None:
    loop = asyncio.get_running_loop()
    clock = Clock(loop, speed=10.0)
    clock.pause()
    clock.resume()
    start = clock.now()
    assert clock.loop_time(start + 10.0) - clock.loop_time(start) == pytest.approx(1.0)
    assert clock.loop_time(start) <= loop.time()
