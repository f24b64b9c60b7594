from __future__ import annotations

import random

import pytest

from epp.datalayer.discovery.kubernetes.answers import (
    Bookmark,
    Failure,
    FailureKind,
    Key,
    Page,
    Put,
    Removed,
)
from epp.datalayer.discovery.kubernetes.feed import (
    PAGE_BYTES,
    Feed,
    ListPage,
    LookUp,
    OpenWatch,
    Pause,
)
from epp.datalayer.discovery.kubernetes.resource import Resource

GONE = Failure(FailureKind.GONE, "too old")
FORBIDDEN = Failure(FailureKind.FORBIDDEN, "no")
MISSING = Failure(FailureKind.NOT_FOUND, "no such thing")
DOWN = Failure(FailureKind.UNREACHABLE, "refused")


def a_feed(*, required: bool = True) -> Feed[int]:
    resource = Resource("example.com", "v1", "things", "Thing", "ns", required=required)
    return Feed(resource, random.Random(7))


def page(version: str = "10", token: str = "", size: int = 100, **objects: int) -> Page[int]:
    return Page({_key(name): value for name, value in objects.items()}, {}, version, token, size)


def _key(name: str) -> Key:
    return ("ns", name)


def put(name: str, value: int, version: str = "11") -> Put[int]:
    return Put(_key(name), value, "", version)


def watched(**objects: int) -> Feed[int]:
    """A feed with a watch that has just been opened, at time 0."""
    feed = a_feed()
    feed.next_step()
    feed.took_page(page(**objects))
    feed.next_step()
    feed.watch_opened(0.0)
    return feed


def names(feed: Feed[int]) -> list[str]:
    return [name for _, name in feed.objects]


def paused(feed: Feed[int]) -> float:
    step = feed.next_step()
    return step.seconds if isinstance(step, Pause) else 0.0


def test_a_list_then_a_watch_from_its_version() -> None:
    feed = a_feed()
    step = feed.next_step()
    assert isinstance(step, ListPage)
    assert step.continue_token == ""
    assert not feed.answered
    assert feed.took_page(page("10", a=1))
    assert feed.listed
    assert feed.objects == {_key("a"): 1}
    step = feed.next_step()
    assert isinstance(step, OpenWatch)
    assert step.resource_version == "10"
    assert 240 <= step.seconds <= 300


def test_pages_count_only_together() -> None:
    feed = a_feed()
    feed.next_step()
    assert not feed.took_page(page(token="t1", a=1))
    assert not feed.listed
    assert feed.objects == {}
    assert feed.next_step() == ListPage(feed._page_objects, "t1")
    assert feed.took_page(page(b=2))
    assert names(feed) == ["a", "b"]


@pytest.mark.parametrize(
    ("size", "limit"),
    [
        pytest.param(2 * PAGE_BYTES // 20, 20, id="as-large-as-hoped"),
        pytest.param(2 * PAGE_BYTES, 1, id="huge"),
        pytest.param(10, 500, id="tiny"),
    ],
)
def test_pages_are_sized_by_what_objects_weigh(size: int, limit: int) -> None:
    feed = a_feed()
    feed.took_page(page(token="t", size=size, a=1, b=2))
    assert feed.next_step() == ListPage(limit, "t")


def test_events_edit_the_objects() -> None:
    feed = watched(a=1, b=2)
    assert feed.took_events([put("c", 3), Removed(_key("a"), "12")], 1.0)
    assert feed.objects == {_key("b"): 2, _key("c"): 3}
    assert feed.took_events([put("b", 9, "13")], 1.0)
    assert feed.objects[_key("b")] == 9


@pytest.mark.parametrize(
    "event",
    [put("a", 1), Bookmark("12"), Removed(_key("x"), "12")],
    ids=["same", "mark", "unknown"],
)
def test_what_changes_nothing_is_no_news(event: Put[int] | Removed | Bookmark) -> None:
    feed = watched(a=1)
    assert not feed.took_events([event], 1.0)
    feed.watch_ended(100.0)
    step = feed.next_step()
    assert isinstance(step, OpenWatch)
    assert step.resource_version == event.resource_version


def test_an_object_that_went_bad_is_left_out_and_comes_back() -> None:
    feed = watched(a=1, b=2)
    assert feed.took_events([Put(_key("a"), None, "spec: is missing", "11")], 1.0)
    assert names(feed) == ["b"]
    assert feed.problems == {_key("a"): "spec: is missing"}
    assert feed.took_events([put("a", 5, "12")], 1.0)
    assert feed.problems == {}
    assert names(feed) == ["b", "a"]


def test_problems_of_a_list_replace_those_before() -> None:
    feed = a_feed()
    feed.took_page(Page({}, {_key("a"): "bad"}, "1", "", 1))
    assert feed.problems == {_key("a"): "bad"}
    feed.took_page(page(a=1))
    assert feed.problems == {}


@pytest.mark.parametrize("in_band", [True, False], ids=["error-event", "http-status"])
def test_an_expired_version_lists_again_at_once_and_empties_nothing(in_band: bool) -> None:
    feed = watched(a=1)
    if in_band:
        assert not feed.took_events([put("a", 1), GONE, put("z", 9)], 10.0)
        assert not feed.watching
    else:
        feed.failed(GONE, 10.0)
    assert names(feed) == ["a"]
    assert isinstance(feed.next_step(), ListPage)
    assert feed.took_page(page("20", b=2))
    assert names(feed) == ["b"]


def test_versions_that_expire_again_and_again_are_paced() -> None:
    feed = watched(a=1)
    pauses = []
    for _ in range(8):
        feed.failed(GONE, 0.0)
        pauses.append(paused(feed))
        feed.next_step()
        feed.took_page(page(a=1))
        feed.next_step()
        feed.watch_opened(0.0)
    assert pauses[0] == 0.0
    assert pauses[1] >= 1.0
    assert pauses[-1] == 30.0


def test_a_list_that_breaks_off_begins_anew() -> None:
    feed = a_feed()
    feed.took_page(page(token="t1", a=1))
    feed.failed(GONE, 0.0)
    step = feed.next_step()
    assert isinstance(step, ListPage)
    assert step.continue_token == ""
    feed.took_page(page(b=2))
    assert names(feed) == ["b"]


def test_a_server_that_is_away_costs_no_object_and_is_asked_ever_more_rarely() -> None:
    feed = watched(a=1)
    pauses = []
    for _ in range(10):
        feed.failed(DOWN, 10.0)
        assert feed.trouble is DOWN
        pauses.append(paused(feed))
        step = feed.next_step()
        assert isinstance(step, OpenWatch)
        assert step.resource_version == "10"
    assert names(feed) == ["a"]
    assert 1.0 <= pauses[0] <= 1.5
    assert pauses == sorted(pauses)
    assert pauses[-1] == 30.0
    feed.watch_opened(200.0)
    assert feed.trouble is None
    feed.took_events([Bookmark("11")], 201.0)
    feed.failed(DOWN, 202.0)
    assert paused(feed) <= 1.5


def test_the_server_may_ask_for_more_patience_up_to_a_bound() -> None:
    for asked, least in ((7.0, 7.0), (3600.0, 30.0)):
        feed = a_feed()
        feed.failed(Failure(FailureKind.REFUSED, "busy", asked), 0.0)
        assert paused(feed) == least


def test_a_watch_that_ended_in_time_is_opened_again_at_once() -> None:
    feed = watched(a=1)
    feed.took_events([Bookmark("15")], 60.0)
    feed.watch_ended(270.0)
    step = feed.next_step()
    assert isinstance(step, OpenWatch)
    assert step.resource_version == "15"


def test_watches_that_end_at_once_are_paced() -> None:
    feed = watched(a=1)
    pauses = []
    for _ in range(8):
        feed.watch_ended(0.1)
        pauses.append(paused(feed))
        feed.next_step()
        feed.watch_opened(0.0)
    assert pauses[0] >= 1.0
    assert pauses[-1] == 30.0


def test_a_watch_without_even_a_bookmark_is_not_trusted() -> None:
    feed = watched(a=1)
    feed.watch_ended(300.0)
    assert isinstance(feed.next_step(), ListPage)
    assert names(feed) == ["a"]


def test_a_resource_that_is_not_installed_is_looked_for_again() -> None:
    feed = a_feed()
    assert feed.failed(MISSING, 0.0)
    assert feed.absent
    assert feed.answered
    assert feed.trouble is None
    assert 27 <= paused(feed) <= 33
    assert isinstance(feed.next_step(), ListPage)
    assert not feed.failed(MISSING, 40.0)
    assert paused(feed) >= 27
    assert feed.took_page(page(a=1))
    assert not feed.absent


def test_a_resource_that_was_there_must_be_missed_three_times() -> None:
    feed = watched(a=1)
    for _ in range(2):
        assert not feed.failed(MISSING, 10.0)
        assert names(feed) == ["a"]
        assert paused(feed) < 5
        feed.next_step()
    assert feed.failed(MISSING, 20.0)
    assert feed.objects == {}
    assert feed.absent
    assert not feed.listed


def test_permission_that_is_missing_for_what_must_exist() -> None:
    feed = a_feed()
    feed.failed(FORBIDDEN, 0.0)
    assert feed.trouble is FORBIDDEN
    assert feed.answered
    assert isinstance(feed.next_step(), Pause)
    assert isinstance(feed.next_step(), ListPage)


@pytest.mark.parametrize(
    ("exists", "absent"),
    [
        pytest.param(True, False, id="installed"),
        pytest.param(None, False, id="not-told"),
        pytest.param(False, True, id="not-installed"),
    ],
)
def test_permission_that_is_missing_for_what_may_not_exist(
    exists: bool | None, absent: bool
) -> None:
    feed = a_feed(required=False)
    feed.failed(FORBIDDEN, 0.0)
    assert isinstance(feed.next_step(), LookUp)
    assert not feed.answered
    feed.looked_up(exists)
    assert feed.answered
    assert feed.absent is absent
    assert (feed.trouble is None) is absent
    assert isinstance(feed.next_step(), Pause)


def test_permission_taken_away_keeps_what_is_known() -> None:
    feed = watched(a=1)
    feed.failed(FORBIDDEN, 10.0)
    assert names(feed) == ["a"]
    assert feed.listed


def test_the_verb_of_an_attempt() -> None:
    feed = a_feed()
    feed.next_step()
    assert feed.verb == "list"
    feed.took_page(page(a=1))
    feed.next_step()
    assert feed.verb == "watch"


def test_an_object_that_a_new_list_has_unchanged_stays_the_same_object() -> None:
    feed: Feed[list[int]] = Feed(a_feed().resource, random.Random(1))
    first, again = [1], [1]
    feed.took_page(Page({_key("a"): first}, {}, "1", "", 1))
    assert not feed.took_page(Page({_key("a"): again}, {}, "2", "", 1))
    assert feed.objects[_key("a")] is first
