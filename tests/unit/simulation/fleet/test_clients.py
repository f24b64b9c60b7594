from __future__ import annotations

from collections.abc import Iterator
from random import Random

from epp.simulation.fleet.clients import Ask, Clients
from epp.simulation.fleet.segments import Segment
from epp.simulation.workloads.arrivals import ClosedLoop, Load, OpenLoop, Timed
from epp.simulation.workloads.turns import Turn


def sessions(turns: int = 2, wait: float = 3.0) -> Iterator[tuple[Turn, ...]]:
    while True:
        yield tuple(
            Turn((Segment(1, 10),), 5, after_seconds=wait if turn else 0.0) for turn in range(turns)
        )


def clients(load: Load) -> Clients:
    return Clients(sessions(), load, Random(1))


def starts(of: Clients, count: int) -> list[float]:
    found: list[Ask] = []
    while len(found) < count and (ask := of.next_start()) is not None:
        found.append(ask)
    return [at for at, _, _ in found]


def test_an_open_loop_begins_sessions_without_end_in_order_of_time() -> None:
    at = starts(clients(OpenLoop(rate=5.0)), 1000)
    assert len(at) == 1000
    assert at == sorted(at)


def test_a_timed_load_begins_one_session_at_each_of_its_times() -> None:
    assert starts(clients(Timed((0.0, 1.5, 1.5, 9.0))), 10) == [0.0, 1.5, 1.5, 9.0]


def test_clients_of_a_closed_loop_begin_evenly_over_the_ramp() -> None:
    assert starts(clients(ClosedLoop(4, ramp_seconds=8.0)), 10) == [0.0, 2.0, 4.0, 6.0]


def test_a_turn_follows_the_end_of_the_one_before_after_its_wait() -> None:
    some = clients(OpenLoop(1.0))
    first = some.next_start()
    assert first is not None
    second = some.after(first[2], 100.0)
    assert second is not None
    assert second[0] == 103.0
    assert second[2] is first[2]


def test_a_client_of_an_open_loop_leaves_after_its_last_turn() -> None:
    some = clients(OpenLoop(1.0))
    first = some.next_start()
    assert first is not None
    some.after(first[2], 100.0)
    assert some.after(first[2], 200.0) is None


def test_a_client_of_a_closed_loop_begins_anew_after_its_last_turn() -> None:
    some = clients(ClosedLoop(1))
    first = some.next_start()
    assert first is not None
    some.after(first[2], 100.0)
    again = some.after(first[2], 200.0)
    assert again is not None
    assert again[0] == 200.0
    assert again[2] is not first[2]


def test_sessions_that_run_out_end_the_load() -> None:
    some = Clients([(Turn((Segment(1, 10),), 5),)], OpenLoop(1.0), Random(1))
    assert len(starts(some, 10)) == 1
