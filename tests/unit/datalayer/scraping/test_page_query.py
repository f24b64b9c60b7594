from __future__ import annotations

import pytest

from epp.datalayer.scraping.engines import ENGINES
from epp.datalayer.scraping.page_query import (
    PROBE_AFTER_RESTART_SECONDS,
    PROBE_AGAIN_SECONDS,
    PageQuery,
    bare_request,
    filtered_request,
)

VLLM = ENGINES["vllm"]
ALL = VLLM.dependable
LESS = ALL - {"vllm:cache_config_info"}
LORA = frozenset({"vllm:lora_requests_info"})


def settled(*, filtered: bool) -> PageQuery:
    query = PageQuery(ALL)
    assert query.filtered(0.0)
    query.answered(ALL, only_wanted=filtered, now=0.0)
    assert query.filtered(0.0) is filtered
    return query


def test_the_requests_as_sent() -> None:
    assert bare_request("[::1]:8000", "/metrics").startswith(
        b"GET /metrics HTTP/1.1\r\nhost: [::1]:8000\r\n"
    )
    line = filtered_request("10.0.0.1:80", "/metrics", VLLM).split(b"\r\n")[0]
    assert line == (
        b"GET /metrics/?name%5B%5D=vllm:num_requests_waiting"
        b"&name%5B%5D=vllm:num_requests_running&name%5B%5D=vllm:kv_cache_usage_perc"
        b"&name%5B%5D=vllm:generation_tokens_total"
        b"&name%5B%5D=vllm:time_to_first_token_seconds_count&name%5B%5D=vllm:lora_requests_info"
        b"&name%5B%5D=vllm:cache_config_info&name%5B%5D=process_start_time_seconds HTTP/1.1"
    )


def test_a_server_that_filters_is_asked_so() -> None:
    settled(filtered=True)


def test_a_server_that_sends_everything_is_asked_the_plain_way() -> None:
    settled(filtered=False)


@pytest.mark.parametrize(
    ("status", "bare"),
    [(404, True), (307, True), (405, True), (400, True), (500, False), (503, False), (429, False)],
)
def test_a_refusal_of_the_query_leads_to_the_bare_page(status: int, bare: bool) -> None:
    query = PageQuery(ALL)
    assert query.refused(status, 0.0) is bare
    assert query.filtered(0.0) is not bare


def test_a_family_that_only_the_whole_page_has_ends_filtering() -> None:
    query = PageQuery(ALL)
    query.answered(LESS, only_wanted=True, now=0.0)
    assert not query.filtered(0.0)
    query.answered(ALL, only_wanted=False, now=0.0)
    assert not query.filtered(0.0)


def test_a_family_that_neither_page_has_does_not() -> None:
    query = PageQuery(ALL)
    query.answered(LESS, only_wanted=True, now=0.0)
    query.answered(LESS, only_wanted=False, now=0.0)
    for now in (0.0, 1.0, 2.0):
        assert query.filtered(now)
        query.answered(LESS, only_wanted=True, now=now)


def test_a_family_that_goes_missing_later_is_looked_for_again() -> None:
    query = settled(filtered=True)
    query.answered(LESS, only_wanted=True, now=1.0)
    assert not query.filtered(1.0)


def test_adapters_that_come_and_go_prove_nothing() -> None:
    query = settled(filtered=True)
    for families in (ALL | LORA, ALL):
        query.answered(families, only_wanted=True, now=1.0)
        assert query.filtered(1.0)
    query.answered(LESS, only_wanted=True, now=1.0)
    query.answered(LESS | LORA, only_wanted=False, now=1.0)
    assert query.filtered(1.0)


def test_pages_that_say_nothing_yet_decide_nothing() -> None:
    query = PageQuery(ALL)
    query.answered(frozenset(), only_wanted=True, now=0.0)
    assert not query.filtered(0.0)
    query.answered(frozenset(), only_wanted=False, now=0.0)
    assert query.probing


@pytest.mark.parametrize("filtered", [True, False])
def test_the_probe_is_repeated_rarely(filtered: bool) -> None:
    query = settled(filtered=filtered)
    assert query.filtered(PROBE_AGAIN_SECONDS - 1) is filtered
    assert query.filtered(PROBE_AGAIN_SECONDS)
    assert query.probing


def test_after_a_restart_the_probe_is_repeated_but_not_all_the_time() -> None:
    query = settled(filtered=False)
    query.restarted(PROBE_AFTER_RESTART_SECONDS - 1)
    assert not query.filtered(PROBE_AFTER_RESTART_SECONDS - 1)
    query.restarted(PROBE_AFTER_RESTART_SECONDS)
    assert query.filtered(PROBE_AFTER_RESTART_SECONDS)
