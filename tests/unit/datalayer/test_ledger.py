from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epp.core.endpoint import Endpoint, EndpointMetrics
from epp.core.stages import Role
from epp.datalayer.ledger import Ledger


def an_endpoint() -> Endpoint:
    return Endpoint("a", "10.0.0.1", 8000)


def a_reading(waiting: int, running: int, at: float = 100.0) -> EndpointMetrics:
    return EndpointMetrics(waiting=waiting, running=running, waiting_read_at=at, running_read_at=at)


def test_reserve_and_release_are_exact() -> None:
    ledger, endpoint = Ledger(), an_endpoint()
    lease = ledger.reserve(endpoint, 700, 700)
    assert (endpoint.load.requests, endpoint.load.prompt_tokens) == (1, 700)
    assert ledger.release(lease)
    assert (endpoint.load.requests, endpoint.load.prompt_tokens, ledger.leases_held) == (0, 0, 0)


def test_a_second_release_changes_nothing() -> None:
    ledger, endpoint = Ledger(), an_endpoint()
    lease = ledger.reserve(endpoint, 1, 1)
    ledger.release(lease)
    assert not ledger.release(lease)
    assert endpoint.load.requests == 0


def test_a_reservation_moves_with_the_retry() -> None:
    ledger, first, second = Ledger(), an_endpoint(), an_endpoint()
    lease = ledger.reserve(first, 5, 5)
    ledger.move(lease, second)
    assert (first.load.requests, second.load.requests) == (0, 1)
    ledger.release(lease)
    assert (first.load.requests, second.load.requests) == (0, 0)


def test_a_released_lease_does_not_move() -> None:
    ledger, first, second = Ledger(), an_endpoint(), an_endpoint()
    lease = ledger.reserve(first, 5, 5)
    ledger.release(lease)
    ledger.move(lease, second)
    assert second.load.requests == 0


def test_the_first_reading_after_a_restart_is_believed_whole() -> None:
    ledger, endpoint = Ledger(), an_endpoint()
    ledger.read(endpoint, a_reading(waiting=5, running=4), own_at_start=0)
    assert endpoint.load.foreign == 9
    assert endpoint.load.waiting == 5


def test_our_own_requests_are_not_foreign() -> None:
    ledger, endpoint = Ledger(), an_endpoint()
    for _ in range(6):
        ledger.reserve(endpoint, 1, 1)
    ledger.read(endpoint, a_reading(waiting=2, running=4), own_at_start=6)
    assert endpoint.load.foreign == 0


def test_half_of_a_later_surprise_is_believed_at_once() -> None:
    ledger, endpoint = Ledger(), an_endpoint()
    ledger.read(endpoint, a_reading(0, 0, at=100.0), 0)
    ledger.read(endpoint, a_reading(0, 8, at=100.1), 0)
    assert endpoint.load.foreign == 4
    ledger.read(endpoint, a_reading(0, 8, at=100.2), 0)
    assert endpoint.load.foreign == 6


@pytest.mark.parametrize(
    ("waiting", "running", "placed_since", "expected"),
    [
        pytest.param(3, 4, 0, 3, id="as-read"),
        pytest.param(3, 4, 2, 5, id="a-full-batch-queues-what-comes"),
        pytest.param(0, 4, 3, 3, id="beyond-the-batch-seen-so-far-is-taken-to-wait"),
        pytest.param(0, 0, 4, 4, id="an-idle-engine-is-probed-step-by-step"),
    ],
)
def test_waiting_is_the_reading_moved_by_what_was_placed_since(
    waiting: int, running: int, placed_since: int, expected: int
) -> None:
    ledger, endpoint = Ledger(), an_endpoint()
    ledger.read(endpoint, a_reading(waiting, running), own_at_start=0)
    for _ in range(placed_since):
        ledger.reserve(endpoint, 1, 1)
    assert endpoint.load.waiting == expected


def test_a_finished_request_lets_a_waiting_one_in() -> None:
    ledger, endpoint = Ledger(), an_endpoint()
    leases = [ledger.reserve(endpoint, 1, 1) for _ in range(6)]
    ledger.read(endpoint, a_reading(waiting=2, running=4), own_at_start=6)
    ledger.release(leases[0])
    assert endpoint.load.waiting == 1


def test_a_batch_once_seen_is_room_that_need_not_be_probed_again() -> None:
    ledger, endpoint = Ledger(), an_endpoint()
    ledger.read(endpoint, a_reading(0, 40, at=100.0), own_at_start=0)
    ledger.read(endpoint, a_reading(0, 10, at=100.1), own_at_start=0)
    for _ in range(30):
        ledger.reserve(endpoint, 1, 1)
    assert endpoint.load.waiting == 0


def test_without_any_reading_there_is_no_evidence_of_waiting() -> None:
    ledger, endpoint = Ledger(), an_endpoint()
    for _ in range(50):
        ledger.reserve(endpoint, 1, 1)
    ledger.read(endpoint, EndpointMetrics(), own_at_start=50)
    assert endpoint.load.waiting == 0


STEPS = st.lists(
    st.tuples(st.sampled_from(["reserve", "release", "move", "read"]), st.integers(0, 40)),
    max_size=80,
)


@given(STEPS)
def test_the_load_is_always_the_sum_of_the_leases_held(steps: list[tuple[str, int]]) -> None:
    ledger, endpoints = Ledger(), [an_endpoint() for _ in range(3)]
    leases = []
    for at, (kind, number) in enumerate(steps):
        endpoint = endpoints[number % 3]
        if kind == "reserve":
            leases.append(ledger.reserve(endpoint, number, number))
        elif kind == "read":
            reading = a_reading(number % 7, number, at=float(at))
            ledger.read(endpoint, reading, endpoint.load.requests)
        elif leases and kind == "release":
            ledger.release(leases[number % len(leases)])
        elif leases and kind == "move":
            ledger.move(leases[number % len(leases)], endpoint)
        held = [lease for lease in leases if lease.held]
        assert ledger.leases_held == len(held)
        for endpoint in endpoints:
            own = [lease for lease in held if lease.endpoint is endpoint]
            assert endpoint.load.requests == len(own)
            assert endpoint.load.prompt_tokens == sum(lease.prompt_tokens for lease in own)
            assert endpoint.load.waiting >= 0
            assert endpoint.load.foreign >= 0


def test_tokens_to_compute_are_held_until_the_first_token() -> None:
    ledger, endpoint = Ledger(), an_endpoint()
    lease = ledger.reserve(endpoint, 700, 200)
    assert (endpoint.load.uncached_tokens, endpoint.load.prefilling_tokens) == (200, 200)
    assert ledger.prefilled(lease)
    assert (endpoint.load.uncached_tokens, endpoint.load.prefilling_tokens) == (200, 0)
    assert not ledger.prefilled(lease)
    ledger.release(lease)
    assert (endpoint.load.uncached_tokens, endpoint.load.prefilling_tokens) == (0, 0)


def test_a_reading_keeps_what_was_to_be_computed_then() -> None:
    ledger, endpoint = Ledger(), an_endpoint()
    lease = ledger.reserve(endpoint, 700, 200)
    ledger.read(endpoint, a_reading(waiting=1, running=4), own_at_start=1)
    ledger.prefilled(lease)
    assert endpoint.load.prefilling_tokens_at_reading == 200
    ledger.read(endpoint, a_reading(waiting=0, running=5, at=100.1), own_at_start=1)
    assert endpoint.load.prefilling_tokens_at_reading == 0


def test_a_release_before_the_first_token_holds_nothing_back() -> None:
    ledger, endpoint = Ledger(), an_endpoint()
    lease = ledger.reserve(endpoint, 700, 200)
    ledger.release(lease)
    assert not ledger.prefilled(lease)
    assert (endpoint.load.uncached_tokens, endpoint.load.prefilling_tokens) == (0, 0)


def test_a_prefill_moves_with_the_retry() -> None:
    ledger, first, second = Ledger(), an_endpoint(), an_endpoint()
    lease = ledger.reserve(first, 700, 200)
    ledger.move(lease, second)
    assert (first.load.prefilling_tokens, second.load.prefilling_tokens) == (0, 200)
    ledger.prefilled(lease)
    assert (first.load.prefilling_tokens, second.load.prefilling_tokens) == (0, 0)


def a_state(waiting: int, running: int, usage: float = 0.5) -> EndpointMetrics:
    return EndpointMetrics(
        waiting=waiting,
        running=running,
        kv_cache_usage=usage,
        waiting_read_at=1.0,
        running_read_at=1.0,
        kv_cache_usage_read_at=1.0,
    )


FULL = [(5, 4), (6, 4), (5, 4), (7, 4)]


@pytest.mark.parametrize(
    ("readings", "places"),
    [
        pytest.param(FULL, 4, id="each-free-place-is-taken"),
        pytest.param(FULL[:3], 0, id="too-early-to-say"),
        pytest.param([(5, 4)] * 4, 4, id="who-ends-is-replaced-at-once"),
        pytest.param([(9, 4), (8, 5), (7, 6), (6, 7)], 0, id="prompts-worked-off"),
        pytest.param([(5, 4), (6, 3), (7, 2), (8, 1)], 0, id="behind-a-huge-prompt"),
        pytest.param([*FULL, (0, 2)], 4, id="known-when-idle-too"),
        pytest.param([*FULL, (0, 5)], 0, id="until-it-runs-more"),
        pytest.param([*FULL, (5, 3), (6, 2), (7, 2)], 0, id="or-queues-while-it-runs-less"),
        pytest.param([*FULL, (5, 3), (6, 4)], 4, id="a-request-may-just-have-ended"),
    ],
)
def test_an_engine_that_queues_and_does_not_grow_shows_its_places(
    readings: list[tuple[int, int]], places: int
) -> None:
    ledger, endpoint = Ledger(), an_endpoint()
    for waiting, running in readings:
        ledger.read(endpoint, a_state(waiting, running), own_at_start=0)
        ledger.release(ledger.reserve(endpoint, 1, 1))
    assert endpoint.load.places == places


def test_readings_of_one_step_show_nothing() -> None:
    ledger, endpoint = Ledger(), an_endpoint()
    for _ in range(9):
        ledger.read(endpoint, a_state(5, 4), own_at_start=0)
    assert endpoint.load.places == 0


def test_a_queue_shows_nothing_while_nothing_ends() -> None:
    ledger, endpoint = Ledger(), an_endpoint()
    for waiting in (5, 6, 5, 7, 8):
        ledger.read(endpoint, a_state(waiting, 4), own_at_start=0)
    assert endpoint.load.places == 0


def test_a_prefill_that_ended_shows_no_place() -> None:
    ledger, endpoint = Ledger(), an_endpoint()
    for waiting, running in FULL:
        ledger.read(endpoint, a_state(waiting, running), own_at_start=0)
        lease = ledger.reserve(endpoint, 1, 1)
        lease.role = Role.PREFILL
        ledger.release(lease)
    assert endpoint.load.places == 0


@pytest.mark.parametrize("change", [{"kv_cache_usage": 0.97}, {"max_adapters": 1}])
def test_a_queue_for_memory_or_an_adapter_is_none_for_places(change: dict[str, float]) -> None:
    ledger, endpoint = Ledger(), an_endpoint()
    for waiting in (5, 6, 5, 7, 8):
        state = replace(a_state(waiting, 4), running_adapters=frozenset({"a"}), **change)
        ledger.read(endpoint, state, own_at_start=0)
        ledger.release(ledger.reserve(endpoint, 1, 1))
    assert endpoint.load.places == 0


def test_what_is_placed_beyond_the_places_waits() -> None:
    ledger, endpoint = Ledger(), an_endpoint()
    for waiting, running in [*FULL, (0, 4)]:
        ledger.read(endpoint, a_state(waiting, running), own_at_start=0)
        ledger.release(ledger.reserve(endpoint, 1, 1))
    ledger.reserve(endpoint, 1, 1)
    assert endpoint.load.waiting == 1


def test_a_new_endpoint_is_awaited_until_the_first_attempt_to_read_it_ends() -> None:
    ledger, endpoint = Ledger(), an_endpoint()
    ledger.expect(endpoint)
    assert endpoint.load.awaited
    ledger.missed(endpoint)
    assert not endpoint.load.awaited
    ledger.expect(endpoint)
    ledger.read(endpoint, a_reading(0, 0), 0)
    assert not endpoint.load.awaited


def test_ours_that_readings_do_not_show_are_unseen_only_while_they_do_not() -> None:
    ledger, endpoint = Ledger(), an_endpoint()
    for _ in range(8):
        ledger.reserve(endpoint, 1, 1)
    ledger.read(endpoint, a_reading(0, 0, 100.0), 0)  # none was there when it was asked
    assert endpoint.load.unseen == 0.0
    ledger.read(endpoint, a_reading(0, 0, 100.1), 8)
    assert endpoint.load.unseen == 4.0
    ledger.read(endpoint, a_reading(0, 0, 100.2), 8)
    assert endpoint.load.unseen == 6.0
    for n in range(8):
        ledger.read(endpoint, a_reading(2, 6, 100.3 + n / 10), 8)
    assert endpoint.load.unseen < 0.1


def test_what_is_in_the_engine_is_the_reading_moved_by_what_we_did_since() -> None:
    ledger, endpoint = Ledger(), an_endpoint()
    first = ledger.reserve(endpoint, 1, 1)
    assert endpoint.load.in_engine == 0  # no evidence
    ledger.read(endpoint, a_reading(waiting=2, running=3), own_at_start=1)
    assert endpoint.load.in_engine == 5
    ledger.reserve(endpoint, 1, 1)
    assert endpoint.load.in_engine == 6
    ledger.release(first)
    assert endpoint.load.in_engine == 5


def test_ends_are_counted_until_a_reading_shows_a_queue() -> None:
    ledger, endpoint = Ledger(), an_endpoint()
    leases = [ledger.reserve(endpoint, 1, 1) for _ in range(3)]
    for lease in leases[:2]:
        ledger.release(lease)
    ledger.release(leases[0])  # a second time is none
    ledger.read(endpoint, a_reading(waiting=0, running=1), own_at_start=1)
    assert endpoint.load.ended_since_queue == 2
    ledger.read(endpoint, a_reading(waiting=1, running=1, at=101.0), own_at_start=1)
    assert endpoint.load.ended_since_queue == 0
    ledger.release(leases[2])
    assert endpoint.load.ended_since_queue == 1
