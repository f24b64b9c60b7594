from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence

import pytest

from epp.config.build import read_configuration
from epp.core.endpoint import Endpoint
from epp.scheduling.profile import Profile
from epp.simulation.policies import POLICIES, policy
from tests.helpers.build import a_request, an_endpoint

# One prompt of 10 000 tokens; the pool that it meets, and what of it each has cached.
PROMPT = 10_000


def pool() -> list[Endpoint]:
    return [
        an_endpoint("idle"),
        an_endpoint("warm", requests=3, prompt_tokens=30_000, prefilling_tokens=6_000),
        an_endpoint("queued", requests=1, prompt_tokens=500, waiting=4, kv_cache_usage=0.9),
    ]


def decide(profile: Profile, endpoints: Sequence[Endpoint], cached: Mapping[str, int]) -> str:
    """The name of the pick, placed as the picker does it."""
    request = a_request(
        prompt_tokens=PROMPT,
        prefix_tokens=PROMPT,
        target_model="adapter",
        cached_tokens={e: cached[e.name] for e in endpoints if e.name in cached},
    )
    fitting = profile.narrow(request, endpoints)
    ranked = profile.rank(request, fitting, random.Random(1), 1)
    profile.decided(request, ranked.candidates, ranked.ordered[0], 0.0)
    return ranked.ordered[0].name


def picks(name: str, endpoints: Sequence[Endpoint], cached: Mapping[str, int]) -> str:
    return decide(read_configuration(policy(name)).profile, endpoints, cached)


@pytest.mark.parametrize("name", POLICIES)
def test_every_policy_can_be_read_and_lets_nobody_wait(name: str) -> None:
    text = policy(name)
    configuration = read_configuration(text)
    assert text.startswith("# ")
    assert configuration.flow_control is None
    assert configuration.differences == ()


def test_a_policy_that_is_not_there_is_named() -> None:
    with pytest.raises(ValueError, match="no policy 'best'; there are random, round-robin"):
        policy("best")


def test_random_takes_all_alike() -> None:
    profile = read_configuration(policy("random")).profile
    endpoints, rng = pool(), random.Random(1)
    drawn = Counter(
        profile.rank(a_request(), endpoints, rng, 1).ordered[0].name for _ in range(3000)
    )
    assert all(abs(times - 1000) < 130 for times in drawn.values())  # five standard deviations


def test_round_robin_takes_turns_whatever_the_load() -> None:
    profile, endpoints = read_configuration(policy("round-robin")).profile, pool()
    turns = [decide(profile, endpoints, {"warm": PROMPT}) for _ in range(6)]
    assert turns == ["idle", "warm", "queued"] * 2


def test_least_request_looks_at_own_requests_only() -> None:
    assert picks("least-request", pool(), {"warm": PROMPT}) == "idle"
    assert picks("least-request", pool()[1:], {"warm": PROMPT}) == "queued"


def test_power_of_two_never_takes_the_most_loaded_of_three() -> None:
    profile, rng = read_configuration(policy("power-of-two")).profile, random.Random(1)
    endpoints = pool()
    won = Counter(profile.rank(a_request(), endpoints, rng, 1).ordered[0].name for _ in range(3000))
    assert won["warm"] == 0
    assert abs(won["idle"] - 2000) < 130  # it wins two pairs of three


def test_the_blend_weighs_prefix_queue_and_kv_cache() -> None:
    # warm: 2 + 2 + 3 of 0.5 = 5.5, idle: 2 + 2 = 4
    assert picks("blend", pool(), {"warm": PROMPT // 2}) == "warm"
    # queued: 0 + 0.2 + 3 = 3.2, idle: 4
    assert picks("blend", pool(), {"queued": PROMPT}) == "idle"


def test_the_queue_of_the_blend_is_that_of_the_last_scrape() -> None:
    empty = an_endpoint("empty when it was read", waiting=0)
    empty.load.waiting = 9  # with what was placed since
    assert picks("blend", [an_endpoint("short", waiting=1), empty], {}) == empty.name


def test_the_blend_for_adapters_prefers_where_the_adapter_runs() -> None:
    loaded = an_endpoint("loaded", running_adapters=frozenset({"adapter"}), max_adapters=1)
    full = an_endpoint("full", running_adapters=frozenset({"other"}), max_adapters=1)
    room = an_endpoint("room", running_adapters=frozenset({"other"}), max_adapters=2)
    assert picks("blend-lora", [full, room, loaded], {}) == "loaded"
    assert picks("blend-lora", [full, room], {}) == "room"
    # 0.8 with the prefix half cached is more than 1.0 without it.
    assert picks("blend-lora", [loaded, room], {"room": PROMPT // 2}) == "room"


def test_sticky_stays_until_the_wait_is_18_s_longer() -> None:
    # It has more to prefill than the idle one, 9 000 + 2 000, but four fifths of the prompt.
    warm = an_endpoint("warm", prefilling_tokens=9_000)
    assert picks("sticky", [warm, an_endpoint("idle")], {"warm": 8_000}) == "warm"
    assert picks("sticky", [warm, an_endpoint("idle")], {"warm": 7_999}) == "idle"
    saturated = an_endpoint("warm", prefilling_tokens=286_705)
    assert picks("sticky", [saturated, an_endpoint("idle")], {"warm": PROMPT}) == "idle"


def test_sticky_takes_the_fewest_tokens_to_prefill_of_those_with_the_prompt() -> None:
    one = an_endpoint("one", prefilling_tokens=500)
    two = an_endpoint("two", prefilling_tokens=2_400)
    # 500 + 2000 against 2400 + 0
    assert picks("sticky", [one, two, an_endpoint()], {"one": 8_000, "two": PROMPT}) == "two"


def test_lmetric_takes_the_smallest_product() -> None:
    # idle 10 000 x 1, warm 6 000 x 4, queued 10 000 x 2
    assert picks("lmetric", pool(), {"warm": PROMPT}) == "idle"
    # queued 4 000 x 2
    assert picks("lmetric", pool(), {"queued": 6_000}) == "queued"
    assert picks("lmetric", pool(), {"queued": 4_999}) == "idle"


def test_dynamo_takes_the_fewest_blocks_to_prefill_and_in_use() -> None:
    # idle 10 000 + 10 000, warm 6 000 + 40 000, queued 10 000 + 10 500
    assert picks("dynamo", pool(), {"warm": PROMPT}) == "idle"
    assert picks("dynamo", pool(), {"queued": 512}) == "queued"
    assert picks("dynamo", pool(), {"queued": 448}) == "idle"
