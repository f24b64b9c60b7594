from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from epp.core.request import RequestFacts
from epp.flowcontrol.limits import is_full_for, make_room_for
from epp.flowcontrol.settings import BandSettings, FlowControlSettings
from epp.flowcontrol.waiting_room import WaitingRoom

REQUESTS = st.lists(st.tuples(st.integers(-1, 2), st.integers(0, 40)), max_size=40)


def a_room(settings: FlowControlSettings, *sizes: tuple[int, int]) -> WaitingRoom:
    """By priority and bytes."""
    room = WaitingRoom(settings.band)
    for priority, size in sizes:
        room.enter(RequestFacts("r", priority=priority, size_bytes=size), None, 9.0)
    return room


def test_without_limits_over_all_priorities_nobody_has_to_go() -> None:
    settings = FlowControlSettings(default_band=BandSettings(max_requests=2))
    room = a_room(settings, (0, 1), (0, 1), (1, 1))
    assert is_full_for(RequestFacts("r"), settings, room)
    assert not is_full_for(RequestFacts("r", priority=1), settings, room)
    assert make_room_for(RequestFacts("r", priority=1), settings, room) == []


@given(REQUESTS, st.integers(0, 10), st.integers(0, 200))
def test_limits_are_kept_and_only_those_below_go_as_few_as_it_takes(
    requests: list[tuple[int, int]], max_requests: int, max_bytes: int
) -> None:
    settings = FlowControlSettings(max_requests=max_requests, max_bytes=max_bytes)
    room = a_room(settings)
    for priority, size in requests:
        facts = RequestFacts("r", priority=priority, size_bytes=size)
        latest_first = list(room.requests())[::-1]
        if is_full_for(facts, settings, room):
            assert max_requests or max_bytes
            continue
        gone = make_room_for(facts, settings, room)
        assert all(one.priority < priority for one in gone)
        by_rank = sorted(latest_first, key=lambda one: one.priority)
        assert gone == by_rank[: len(gone)]
        room.enter(facts, None, 9.0)
        assert not max_requests or len(room) <= max_requests
        assert not max_bytes or room.bytes <= max_bytes
        if gone:  # with the last of them it would have been too much
            still = len(room) + 1, room.bytes + gone[-1].size_bytes
            assert (max_requests and still[0] > max_requests) or (
                max_bytes and still[1] > max_bytes
            )
