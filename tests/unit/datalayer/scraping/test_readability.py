from __future__ import annotations

from epp.datalayer.scraping.outcome import Failure
from epp.datalayer.scraping.readability import Readability
from tests.helpers.build import an_endpoint


def test_a_streak_of_failures_is_told_once_and_so_is_its_end() -> None:
    readability, endpoint, other = Readability(), an_endpoint(), an_endpoint()
    failures = [Failure.TIMEOUT, Failure.HTTP_STATUS, Failure.MALFORMED, Failure.TIMEOUT]
    assert [readability.after(endpoint, f) for f in failures] == [None, None, False, None]
    assert readability.after(other, Failure.LOST) is None
    assert readability.after(endpoint, None) is True
    assert readability.after(endpoint, None) is None


def test_one_failure_now_and_then_is_no_news() -> None:
    readability, endpoint = Readability(), an_endpoint()
    for _ in range(9):
        assert readability.after(endpoint, Failure.TIMEOUT) is None
        assert readability.after(endpoint, Failure.TIMEOUT) is None
        assert readability.after(endpoint, None) is None


def test_who_left_and_came_back_starts_afresh() -> None:
    readability, endpoint = Readability(), an_endpoint()
    for _ in range(2):
        readability.after(endpoint, Failure.TIMEOUT)
    readability.forget(endpoint)
    assert readability.after(endpoint, Failure.TIMEOUT) is None
