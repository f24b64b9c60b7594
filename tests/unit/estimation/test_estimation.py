from __future__ import annotations

import math
from dataclasses import replace

import pytest

from epp.core.decision import Lease
from epp.core.endpoint import Endpoint, EndpointMetrics
from epp.core.estimate import UNKNOWN
from epp.core.request import RequestFacts
from epp.estimation.estimation import Estimation
from epp.estimation.laws import ENOUGH_ANSWERS, ENOUGH_PREFILLS
from epp.estimation.lessons import AWAITING_USAGE
from epp.estimation.residency import AWAY_LOAD_TOKENS
from epp.estimation.server import ARRIVALS
from epp.estimation.stay import Stay
from epp.payloads.usage import Usage
from tests.helpers.build import an_endpoint

TOKEN, SINGLE = 1e-4, 0.01  # seconds for a prompt token and for an output token


def a_lease(endpoint: Endpoint, tokens: int) -> Lease:
    return Lease(endpoint, tokens, tokens)


def placed(
    room: Estimation,
    endpoint: Endpoint,
    now: float,
    tokens: int = 1000,
    *,
    shown: bool = False,
    name: str = "r",
    adapter: str = "",
) -> Stay:
    facts = RequestFacts(
        name,
        prompt_tokens=tokens,
        target_model=adapter or "m",
        adapter=adapter,
        shows_first_token=shown,
    )
    return room.placed(facts, a_lease(endpoint, tokens), 0, now)


def lived(
    room: Estimation,
    endpoint: Endpoint,
    count: int,
    start: float = 0.0,
    *,
    shown: bool = True,
    usage: bool = True,
    load: float = 0.0,
    adapter: str = "",
) -> float:
    """One request after the other, exactly as the law says. Returns the end."""
    now = start
    for n in range(count):
        tokens, outputs = 500 + 100 * (n % 7), 20 + n % 5
        stay = placed(room, endpoint, now, tokens, shown=shown, name=f"r{n}", adapter=adapter)
        now += tokens * TOKEN + load
        if shown:
            room.first_token(stay, now)
        now += (outputs - 1) * SINGLE
        room.finished(stay, True, Usage(tokens, outputs) if usage else None, now)
    return now


def test_nothing_is_known_before_enough_was_seen() -> None:
    room, endpoint = Estimation(), an_endpoint()
    now = lived(room, endpoint, ENOUGH_PREFILLS - 1)
    assert room.pool(1, now) is None
    now = lived(room, endpoint, 1, now)
    pool = room.pool(1, now)
    assert pool is not None
    assert pool.prefill_token_seconds == pytest.approx(TOKEN, rel=0.01)
    assert (pool.decode_seconds, pool.decode_samples) == (0.0, 0.0)


def test_what_first_tokens_and_ends_teach() -> None:
    room, endpoint = Estimation(), an_endpoint()
    now = lived(room, endpoint, 300)
    pool = room.pool(2, now)
    assert pool is not None
    assert pool.output_tokens == pytest.approx(22.0, rel=0.01)
    assert pool.decode_seconds + pool.decode_slope_seconds == pytest.approx(0.22, rel=0.01)
    assert pool.uncached_tokens == pytest.approx(800.0, rel=0.02)
    assert pool.residence_seconds == pytest.approx(0.08 + 0.21, rel=0.02)
    assert pool.arrival_rate == pytest.approx(0.5 / 0.29, rel=0.05)  # of each of the two
    assert pool.finish_rate == pytest.approx(0.5 / 0.29, rel=0.05)
    assert len(pool.prompts.lengths) == 64
    assert pool.prefill_learned_at == pytest.approx(now, abs=1.0)


def test_what_came_to_a_server_is_counted_over_its_last_requests() -> None:
    room, endpoint, other = Estimation(), an_endpoint(), an_endpoint()
    estimate = endpoint.estimate
    assert (estimate.arrivals, estimate.arrivals_since) == (0, UNKNOWN)
    placed(room, endpoint, 5.0)
    assert (estimate.arrivals, estimate.arrivals_since) == (1, 5.0)
    for n in range(1, ARRIVALS):
        placed(room, endpoint, 5.0 + n)
    assert (estimate.arrivals, estimate.arrivals_since) == (ARRIVALS, 5.0)
    for n in range(10):
        placed(room, endpoint, 100.0 + n)
    # Those behind the oldest one that is still known, and not that one.
    assert (estimate.arrivals, estimate.arrivals_since) == (ARRIVALS, 14.0)
    assert other.estimate.arrivals == 0


@pytest.mark.parametrize("usage", [True, False])
def test_whole_lives_teach_where_no_first_token_is_seen(usage: bool) -> None:
    room, endpoint = Estimation(), an_endpoint()
    now = lived(room, endpoint, 300, shown=False, usage=usage)
    pool = room.pool(1, now)
    assert pool is not None
    assert pool.prefill_token_seconds == pytest.approx(TOKEN, rel=0.1)
    assert pool.decode_seconds + pool.decode_slope_seconds == pytest.approx(0.21, rel=0.1)


def test_usage_that_comes_later_is_joined() -> None:
    room, endpoint = Estimation(), an_endpoint()
    now = 0.0
    for n in range(4 * ENOUGH_ANSWERS):
        now = lived(room, endpoint, 1, now, shown=False, usage=False)
        assert room.reported("r0", Usage(500, 20), now + 0.1) is endpoint
        assert room.reported("r0", Usage(500, 20), now + 0.2) is None
        assert n < ENOUGH_ANSWERS or room.pool(1, now) is not None
    pool = room.pool(1, now)
    assert pool is not None
    assert pool.output_tokens == 20.0


def test_usage_of_nobody_is_passed_over_and_lives_do_not_pile_up() -> None:
    room, endpoint = Estimation(), an_endpoint()
    now = lived(room, endpoint, AWAITING_USAGE + 1, shown=False, usage=False)
    assert room.reported("unknown", Usage(1, 1), now) is None
    assert room.reported("r0", Usage(1, 1), now) is None  # it was the oldest
    assert room.reported("r1", Usage(1, 1), now) is endpoint


def test_the_clock_proposes_whose_prefill_is_over() -> None:
    room, endpoint = Estimation(), an_endpoint()
    now = lived(room, endpoint, 300, shown=False)
    first, second = placed(room, endpoint, now), placed(room, endpoint, now)
    assert endpoint.estimate.clear_at == pytest.approx(now + 0.2, abs=0.01)
    assert room.over(now + 0.05) == []
    assert room.over(now + 0.15) == [first.lease]
    assert room.over(now + 0.25) == [second.lease]
    assert room.over(now + 9.0) == []
    room.finished(first, True, None, now + 9.0)
    room.finished(second, True, None, now + 9.0)
    assert endpoint.estimate.clear_at == -math.inf


def test_an_end_proves_earlier_picks_before_the_clock_does() -> None:
    room, endpoint = Estimation(), an_endpoint()
    now = lived(room, endpoint, 300, shown=False)
    stays = [placed(room, endpoint, now) for _ in range(3)]
    assert room.finished(stays[1], True, None, now + 0.05) == [stays[0].lease]
    assert room.over(now + 0.1) == []
    assert room.over(now + 0.16) == [stays[2].lease]  # it began when the others were done


def test_an_end_without_success_proves_nothing_and_teaches_nothing() -> None:
    room, endpoint = Estimation(), an_endpoint()
    first = placed(room, endpoint, 0.0)
    for n in range(2 * ENOUGH_ANSWERS):
        stay = placed(room, endpoint, float(n))
        assert room.finished(stay, False, None, n + 0.9) == ()
    assert room.pool(1, 99.0) is None
    assert first.prefilling
    assert endpoint.estimate.awaited_tokens == 1000


def test_a_first_token_counts_once() -> None:
    room, endpoint = Estimation(), an_endpoint()
    stay = placed(room, endpoint, 0.0, shown=True)
    assert endpoint.estimate.awaited_tokens == 1000
    assert room.first_token(stay, 0.1) == [stay.lease]
    assert room.first_token(stay, 0.2) == ()
    assert endpoint.estimate.awaited_tokens == 0


def test_a_retry_elsewhere_moves_the_prefill_and_teaches_nothing() -> None:
    room, picked, served = Estimation(), an_endpoint(), an_endpoint()
    for n in range(2 * ENOUGH_ANSWERS):
        stay = placed(room, picked, float(n), shown=True, adapter="a")
        room.moved(stay, served, n + 0.5)
        assert (picked.estimate.awaited_tokens, served.estimate.awaited_tokens) == (0, 1000)
        room.first_token(stay, n + 0.6)
        room.finished(stay, True, Usage(1000, 20), n + 0.9)
        assert (picked.estimate.awaited_tokens, served.estimate.awaited_tokens) == (0, 0)
    assert room.pool(2, 99.0) is None
    assert room.residency.costs("b", [picked, served], None)[1] == {}


def test_a_queue_before_a_full_cache_teaches_nothing_of_compute() -> None:
    room, endpoint = Estimation(), an_endpoint(waiting=1, kv_cache_usage=0.95)
    now = lived(room, endpoint, 2 * ENOUGH_PREFILLS)
    assert room.pool(1, now) is None


@pytest.mark.parametrize("shown", [True, False])
def test_what_loading_an_adapter_costs_is_what_it_took_longer(shown: bool) -> None:
    room, endpoint = Estimation(), an_endpoint(max_adapters=1)
    now = lived(room, endpoint, 300, shown=shown)
    for n in range(10):
        now = lived(room, endpoint, 1, now, shown=shown, load=0.4, adapter=f"a{n}")
    for n in range(10):
        now = lived(room, endpoint, 1, now, shown=shown, load=0.1, adapter=f"a{n}")
    pool = room.pool(1, now)
    assert pool is not None
    assert pool.prefill_token_seconds == pytest.approx(TOKEN, rel=0.05)
    other = an_endpoint()
    loads, _ = room.residency.costs("a0", [endpoint, other], pool)
    assert loads == pytest.approx({endpoint: 0.1, other: 0.4}, abs=0.02)


def test_what_a_server_computes_while_it_loads_for_others_teaches_nothing() -> None:
    room, endpoint = Estimation(), an_endpoint(max_adapters=4)
    now = lived(room, endpoint, 300)
    for n in range(50):  # two loads of 2 s, and all first tokens come with the same step
        first = placed(room, endpoint, now, shown=True, adapter=f"a{n}")
        others = [placed(room, endpoint, now, shown=True) for _ in range(2)]
        second = placed(room, endpoint, now, shown=True, adapter=f"b{n}")
        now += 4.0 + 4 * 1000 * TOKEN
        for stay in (others[0], first, second, others[1]):
            room.first_token(stay, now)
            room.finished(stay, True, None, now)
    pool = room.pool(1, now)
    assert pool is not None
    assert pool.prefill_token_seconds == pytest.approx(TOKEN, rel=0.01)
    loads, _ = room.residency.costs("other", [endpoint], pool)
    assert loads == {endpoint: pytest.approx(AWAY_LOAD_TOKENS * TOKEN, rel=0.01)}


def test_who_waits_for_a_slot_says_nothing_of_loading() -> None:
    room, endpoint = Estimation(), an_endpoint(max_adapters=1)
    now = lived(room, endpoint, 300)
    holder = placed(room, endpoint, now, adapter="holds")
    room.first_token(holder, now + 1000 * TOKEN + 0.3)
    stay = placed(room, endpoint, now + 1.0, shown=True, adapter="waits")
    room.finished(holder, True, None, now + 50.0)
    room.first_token(stay, now + 51.0)
    pool = room.pool(1, now)
    assert pool is not None
    loads, _ = room.residency.costs("other", [endpoint], pool)
    assert loads == {endpoint: pytest.approx(0.3, rel=0.01)}  # as the holder's took


def test_an_adapter_is_what_a_server_calls_so() -> None:
    room = Estimation(is_adapter=lambda model: model == "listed")
    endpoint = an_endpoint(running_adapters=frozenset({"running"}))
    assert [room.adapter_of(m) for m in ("", "base", "listed")] == ["", "", "listed"]
    assert room.adapter_of("running") == ""
    room.read(endpoint)
    assert room.adapter_of("running") == "running"


def test_a_scrape_shows_what_was_placed_before() -> None:
    room, endpoint = Estimation(), an_endpoint()
    placed(room, endpoint, 0.0, 700)
    assert endpoint.estimate.tokens_since_reading == 700
    endpoint.metrics = EndpointMetrics()
    room.read(endpoint)
    assert endpoint.estimate.tokens_since_reading == 0


def scraped(room: Estimation, endpoint: Endpoint, at: float, tokens: float, running: int) -> None:
    endpoint.metrics = EndpointMetrics(
        running=running,
        running_read_at=at,
        generated_tokens=tokens,
        generated_tokens_read_at=at,
    )
    room.read(endpoint)


def prefilled(room: Estimation, endpoint: Endpoint) -> float:
    """Enough first tokens for a law of prefills, without which nothing is told. Returns the end."""
    now = 0.0
    for n in range(ENOUGH_PREFILLS):
        stay = placed(room, endpoint, now, 500 + 100 * n, shown=True)
        now += (500 + 100 * n) * TOKEN
        room.first_token(stay, now)
    return now


@pytest.mark.parametrize("shown", [True, False])
def test_the_counter_of_tokens_tells_how_fast_decodes_are_before_any_answer_ends(
    shown: bool,
) -> None:
    room, endpoint = Estimation(), an_endpoint()
    now = prefilled(room, endpoint)
    tokens, slope = 0.0, 0.001
    for n in range(60):
        running = 4 + n % 9
        placed(room, endpoint, now, 0, shown=shown)
        scraped(room, endpoint, now, tokens, running)
        middle = running + 0.5 if n % 9 < 8 else running - 4.0
        now += 1.0
        tokens += middle / (SINGLE + slope * middle)
    pool = room.pool(1, now)
    assert pool is not None
    assert pool.decode_samples > 40
    each = pool.decode_seconds / pool.output_tokens, pool.decode_slope_seconds / pool.output_tokens
    assert each == pytest.approx((SINGLE, slope), rel=0.05)
    assert pool.output_tokens == pytest.approx(tokens / 60, rel=0.2)


def counting(endpoint: Endpoint, at: float, count: int) -> EndpointMetrics:
    return replace(endpoint.metrics, first_tokens=float(count), first_tokens_read_at=at)


def test_the_counter_of_first_tokens_tells_prefills_where_none_is_seen() -> None:
    """Long prompts one after the other, scraped every tenth of a second."""
    room, endpoint = Estimation(), an_endpoint()
    now = lived(room, endpoint, ENOUGH_ANSWERS, shown=False)  # what lives teach comes first
    length, done, gap = 20_000, 7, 0.1
    endpoint.metrics = counting(endpoint, now, done)
    room.read(endpoint)
    stays = [placed(room, endpoint, now, length) for _ in range(2 * ENOUGH_PREFILLS)]
    start = now
    slower = 3.0  # than the lives said
    while done < 7 + len(stays):
        now += gap
        done = 7 + int((now - start) / (length * TOKEN * slower) + 1e-9)
        endpoint.metrics = counting(endpoint, now, done)
        room.read(endpoint)
        left = [stay for stay in stays if stay.prefilling]
        assert stays[len(stays) - len(left) :] == left
        assert len(left) == len(stays) - (done - 7)
        assert room.over(now) == [] or done > 7
    assert endpoint.estimate.clear_at <= now
    pool = room.pool(1, now)
    assert pool is not None
    assert pool.prefill_seconds + length * pool.prefill_token_seconds == pytest.approx(
        length * TOKEN * slower, rel=0.05
    )


@pytest.mark.parametrize("share", [0.0, 0.02])
def test_prefills_are_counted_even_if_lives_take_them_for_next_to_nothing(share: float) -> None:
    """With long answers of equal length, lives say little of prompts."""
    room, endpoint = Estimation(), an_endpoint()
    now, length, gap = 0.0, 20_000, 0.1
    for n in range(2 * ENOUGH_ANSWERS):
        tokens = 500 + 100 * (n % 7)
        stay = placed(room, endpoint, now, tokens)
        now += share * tokens * TOKEN + 100 * SINGLE
        room.finished(stay, True, Usage(tokens, 100), now)
    guess = room.pool(1, now)
    assert guess is None or guess.prefill_token_seconds < TOKEN / 10
    for n in range(2 * ENOUGH_PREFILLS):
        endpoint.metrics = counting(endpoint, now, n)
        room.read(endpoint)
        stay = placed(room, endpoint, now, length)
        for _ in range(round(length * TOKEN / gap)):
            room.read(endpoint)
            now += gap
            endpoint.metrics = counting(endpoint, now, n)
        endpoint.metrics = counting(endpoint, now, n + 1)
        room.read(endpoint)
        room.finished(stay, True, None, now)
    pool = room.pool(1, now)
    assert pool is not None
    assert pool.prefill_seconds + length * pool.prefill_token_seconds == pytest.approx(
        length * TOKEN, rel=0.1
    )


def test_first_tokens_of_strangers_teach_nothing() -> None:
    room, endpoint = Estimation(), an_endpoint()
    now = lived(room, endpoint, ENOUGH_ANSWERS, shown=False)
    endpoint.load.foreign = 3.0
    endpoint.metrics = counting(endpoint, now, 0)
    room.read(endpoint)
    stay = placed(room, endpoint, now, 20_000)
    endpoint.metrics = counting(endpoint, now + 0.1, 5)
    room.read(endpoint)
    assert stay.prefilling
    assert room.over(now + 60.0) == [stay.lease]  # the clock ends it


def test_where_tokens_are_counted_an_end_says_nothing_of_decodes() -> None:
    room, endpoint = Estimation(), an_endpoint()
    now = prefilled(room, endpoint)
    tokens = 0.0

    def samples() -> float:
        pool = room.pool(1, now)
        assert pool is not None
        return pool.decode_samples

    def one_answer() -> None:
        stay = placed(room, endpoint, now, 100, shown=True)
        room.first_token(stay, now + 100 * TOKEN)
        room.finished(stay, True, Usage(100, 900), now + 9.0)

    for _ in range(2 * ENOUGH_ANSWERS):
        now, tokens = now + 1.0, tokens + 50.0
        scraped(room, endpoint, now, tokens, 2)
    before = samples()
    assert before > ENOUGH_ANSWERS
    one_answer()
    assert samples() == before
    now += 90.0  # nobody scrapes it any more
    one_answer()
    assert samples() > before


def test_a_restart_loses_adapters_and_evidence_of_the_cache_but_not_the_speed() -> None:
    room, endpoint = Estimation(), an_endpoint()
    stay = placed(room, endpoint, 0.0, adapter="a")
    endpoint.estimate.kept_share, endpoint.estimate.prefill_ratio = 0.5, 2.0
    room.finished(stay, False, None, 1.0)
    room.restarted(endpoint)
    assert (endpoint.estimate.kept_share, endpoint.estimate.prefill_ratio) == (1.0, 2.0)


def test_requests_of_a_server_that_left_may_still_end() -> None:
    room, endpoint = Estimation(), an_endpoint()
    now = lived(room, endpoint, 300, shown=False, usage=False)
    stays = [placed(room, endpoint, now, adapter="a") for _ in range(3)]
    room.forget(endpoint)
    assert room.first_token(stays[0], now) == ()
    for stay in stays:
        assert room.finished(stay, True, Usage(1, 1), now) == ()
    assert room.reported("r299", Usage(1, 1), now) is None
    leases = [stay.lease for stay in stays]
    assert room.over(now + 9.0) == leases  # the ledger gives nothing twice
    assert room.over(now + 99.0) == []


def test_the_tokens_of_a_model_are_learned_from_usage() -> None:
    room, endpoint = Estimation(), an_endpoint()
    for n in range(100):
        stay = placed(room, endpoint, float(n), tokens=1000)
        room.finished(stay, True, Usage(1500, 20), n + 0.5)
    assert room.token_ratio("m") == pytest.approx(1.5, rel=0.05)
    assert room.token_ratio("other") == 1.0
