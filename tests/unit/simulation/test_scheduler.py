from typing import Any

import pytest

from epp.simulation.profiles import PROFILES
from epp.simulation.requests import EngineRequest
from epp.simulation.scheduler import Batch, EngineSettings, Scheduler


def scheduler(**limits: Any) -> Scheduler:
    defaults = {"num_blocks": 101, "block_size_tokens": 16, "max_num_batched_tokens": 64}
    return Scheduler(EngineSettings(PROFILES["8b-h100"], **(defaults | limits)))


def work(batch: Batch) -> dict[str, int]:
    return {r.request_id: n for r, n in zip(batch.requests, batch.counts, strict=True)}


def compute(batch: Batch) -> None:
    """What the engine does at the end of a step."""
    for request, count in zip(batch.requests, batch.counts, strict=True):
        request.computed_tokens += count
        if request.computed_tokens == request.known_tokens:
            request.generated_tokens += 1


def test_a_long_prompt_is_cut_to_the_budget() -> None:
    room = scheduler()
    room.waiting.append(EngineRequest("long", 100, 4))
    first = room.schedule(0.0)
    compute(first)
    second = room.schedule(1.0)
    assert (work(first), work(second)) == ({"long": 64}, {"long": 36})


def test_running_requests_come_first_and_new_ones_get_the_rest() -> None:
    room = scheduler()
    room.waiting.append(EngineRequest("a", 10, 4))
    compute(room.schedule(0.0))
    room.waiting.extend([EngineRequest("b", 100, 4), EngineRequest("c", 10, 4)])
    assert work(room.schedule(1.0)) == {"a": 1, "b": 63}


def test_sequences_are_limited() -> None:
    room = scheduler(max_num_seqs=2)
    room.waiting.extend(EngineRequest(name, 4, 4) for name in "abc")
    assert work(room.schedule(0.0)) == {"a": 4, "b": 4}
    assert [r.request_id for r in room.waiting] == ["c"]


def test_without_blocks_the_newest_running_request_is_preempted_and_nobody_admitted() -> None:
    room = scheduler(num_blocks=4, max_num_batched_tokens=17)  # three usable
    a, b, c = (EngineRequest(name, 16, 20) for name in "abc")
    room.waiting.extend([a, b])
    compute(room.schedule(0.0))
    compute(room.schedule(1.0))
    room.waiting.append(c)
    batch = room.schedule(2.0)  # b wants a second block; 16 tokens of it would fit the freed one
    assert work(batch) == {"a": 1}
    assert batch.preempted == [b]
    assert list(room.waiting) == [b, c]
    assert (b.preemptions, b.computed_tokens, b.blocks) == (1, 0, [])


def test_a_preempted_request_computes_prompt_and_answer_again() -> None:
    room = scheduler(num_blocks=4)
    a, b = EngineRequest("a", 16, 2), EngineRequest("b", 16, 20)
    room.waiting.extend([a, b])
    compute(room.schedule(0.0))
    compute(room.schedule(1.0))
    assert a.done
    room.retire()
    assert work(room.schedule(2.0)) == {"b": 17}


def test_a_cached_prefix_is_not_computed_but_the_last_token_always_is() -> None:
    room = scheduler()
    chain = [1, 2, 3]
    room.waiting.append(EngineRequest("a", 48, 1, block_hashes=chain))
    compute(room.schedule(0.0))
    room.retire()
    again = EngineRequest("b", 48, 1, block_hashes=chain)
    room.waiting.append(again)
    assert work(room.schedule(1.0)) == {"b": 16}
    assert again.cached_tokens == 32


def test_two_requests_of_one_step_share_their_prefix() -> None:
    room = scheduler()
    room.waiting.extend(EngineRequest(name, 40, 4, block_hashes=[1, 2]) for name in "ab")
    assert work(room.schedule(0.0)) == {"a": 40, "b": 8}


def test_the_answer_is_cached_too() -> None:
    room = scheduler()
    room.waiting.append(EngineRequest("a", 16, 18, block_hashes=[1, 2]))
    while room.running or room.waiting:
        compute(room.schedule(0.0))
        room.retire()
    room.waiting.append(EngineRequest("b", 40, 1, block_hashes=[1, 2]))
    assert work(room.schedule(1.0)) == {"b": 8}


def test_requests_for_other_adapters_are_passed_over_and_keep_their_places() -> None:
    room = scheduler(max_adapters=1)
    room.waiting.extend(
        EngineRequest(name, 4, 4, adapter=adapter)
        for name, adapter in [("a", "x"), ("b", "y"), ("c", "x"), ("d", ""), ("e", "y")]
    )
    batch = room.schedule(0.0)
    assert work(batch) == {"a": 4, "c": 4, "d": 4}
    assert batch.adapter_loads == 1
    assert [r.request_id for r in room.waiting] == ["b", "e"]
    assert room.deferred == 2


def test_a_head_without_room_blocks_the_queue_until_blocks_are_released() -> None:
    room = scheduler(num_blocks=5, max_num_batched_tokens=128)  # four usable
    a, b, c = EngineRequest("a", 48, 1), EngineRequest("b", 32, 1), EngineRequest("c", 4, 1)
    room.waiting.extend([a, b, c])
    batch = room.schedule(0.0)
    assert work(batch) == {"a": 48}  # b wants two blocks and finds one; c would fit
    compute(batch)
    room.retire()
    assert work(room.schedule(1.0)) == {"b": 32, "c": 4}


@pytest.mark.parametrize(
    "name",
    ["num_blocks", "block_size_tokens", "max_num_batched_tokens", "max_num_seqs", "max_adapters"],
)
def test_settings_that_could_never_make_progress_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        scheduler(**{name: 0})
