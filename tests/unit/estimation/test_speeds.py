from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epp.core.endpoint import Endpoint
from epp.estimation.speeds import MOST, Speeds
from tests.helpers.build import an_endpoint

POOL = [an_endpoint(name) for name in "abcdefgh"]


def fed(true: dict[Endpoint, float], rounds: int, overlap: float = 1.0, seed: int = 1) -> Speeds:
    rng, speeds = random.Random(seed), Speeds()
    for _ in range(rounds):
        for endpoint, ratio in true.items():
            expected = rng.lognormvariate(0.0, 0.5)
            noise = rng.lognormvariate(-0.02, 0.2)
            speeds.learn(endpoint, expected * ratio * noise, expected, overlap)
    return speeds


def test_nothing_is_known_of_a_new_server() -> None:
    assert Speeds().ratio(POOL[0]) == 1.0


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("overlap", [1.0, 30.0])
def test_equal_servers_stay_equal_whatever_the_noise(seed: int, overlap: float) -> None:
    speeds = fed(dict.fromkeys(POOL, 1.0), 200, overlap, seed)
    assert all(abs(math.log(speeds.ratio(endpoint))) < 0.08 for endpoint in POOL)


@pytest.mark.parametrize("overlap", [1.0, 10.0])
def test_slow_servers_are_found(overlap: float) -> None:
    slow = POOL[:3]
    true = {endpoint: 2.0 if endpoint in slow else 1.0 for endpoint in POOL}
    speeds = fed(true, 200, overlap)
    for endpoint in slow:
        for other in POOL[3:]:
            assert speeds.ratio(endpoint) / speeds.ratio(other) == pytest.approx(2.0, rel=0.25)


def test_one_bad_sample_is_no_evidence() -> None:
    speeds = fed(dict.fromkeys(POOL, 1.0), 50)
    speeds.learn(POOL[0], 10.0, 1.0, 1.0)
    assert speeds.ratio(POOL[0]) < 1.3


def test_the_evidence_of_an_unused_server_fades() -> None:
    true = {endpoint: 3.0 if endpoint is POOL[0] else 1.0 for endpoint in POOL}
    rng, speeds = random.Random(1), fed(true, 100)
    believed = speeds.ratio(POOL[0])
    assert believed > 2.0
    for _ in range(400):
        for endpoint in POOL[1:]:
            speeds.learn(endpoint, rng.lognormvariate(-0.02, 0.2), 1.0, 1.0)
    assert speeds.ratio(POOL[0]) == 1.0


def test_what_is_not_used_for_ever_is_nothing_known() -> None:
    true = {endpoint: 2.0 if endpoint in POOL[:2] else 1.0 for endpoint in POOL}
    speeds = fed(true, 100)
    for _ in range(30_000):
        for endpoint in POOL[1:]:
            speeds.learn(endpoint, true[endpoint], 1.0, 1.0)
    assert speeds.ratio(POOL[0]) == 1.0
    assert speeds.ratio(POOL[1]) / speeds.ratio(POOL[2]) == pytest.approx(2.0, rel=0.1)


def test_a_server_that_left_is_forgotten() -> None:
    speeds = fed({POOL[0]: 3.0, POOL[1]: 1.0, POOL[2]: 1.0}, 100)
    speeds.forget(POOL[0])
    speeds.forget(POOL[0])
    assert speeds.ratio(POOL[0]) == 1.0


SAMPLE = st.tuples(st.integers(0, 7), st.floats(0.0, 1e6), st.floats(0.0, 1e6), st.floats(0.0, 1e3))


@given(st.lists(SAMPLE, max_size=80))
def test_a_ratio_is_always_a_bounded_number(
    samples: list[tuple[int, float, float, float]],
) -> None:
    speeds = Speeds()
    for server, observed, predicted, in_flight in samples:
        speeds.learn(POOL[server], observed, predicted, in_flight)
        assert all(1 / MOST <= speeds.ratio(endpoint) <= MOST for endpoint in POOL)
