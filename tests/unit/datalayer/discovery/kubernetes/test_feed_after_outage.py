"""The API server was away, comes back, and no longer knows the version that is watched from."""

from __future__ import annotations

import random

import pytest

from epp.datalayer.discovery.kubernetes.answers import Failure, FailureKind, Page
from epp.datalayer.discovery.kubernetes.feed import Feed, ListPage, OpenWatch, Pause
from epp.datalayer.discovery.kubernetes.resource import Resource

AWAY = Failure(FailureKind.UNREACHABLE, "connection refused")
EXPIRED = Failure(FailureKind.GONE, "too old resource version")


def page(version: str) -> Page[int]:
    return Page({("ns", "a"): 1}, {}, version, "", 100)


def a_feed_after_an_outage() -> Feed[int]:
    """The next step is to watch, after five attempts that failed."""
    feed: Feed[int] = Feed(Resource("", "v1", "pods", "Pod", "ns"), random.Random(3))
    feed.took_page(page("10"))
    for _ in range(5):
        assert isinstance(feed.next_step(), OpenWatch)
        feed.failed(AWAY, 0.0)
        assert isinstance(feed.next_step(), Pause)
    return feed


def test_it_is_listed_at_once() -> None:
    feed = a_feed_after_an_outage()
    feed.watch_opened(100.0)
    feed.took_events([EXPIRED], 100.0)
    assert isinstance(feed.next_step(), ListPage)


def test_a_server_that_expires_each_version_is_asked_ever_more_rarely() -> None:
    feed = a_feed_after_an_outage()
    pauses = []
    for _ in range(4):
        feed.watch_opened(100.0)
        feed.took_events([EXPIRED], 100.0)
        step = feed.next_step()
        if isinstance(step, Pause):
            pauses.append(step.seconds)
            step = feed.next_step()
        assert isinstance(step, ListPage)
        feed.took_page(page("20"))
        assert isinstance(feed.next_step(), OpenWatch)
    assert len(pauses) == 3
    assert min(pauses) >= 1.0


@pytest.mark.parametrize("watched", [True, False])
def test_a_server_that_is_not_whole_yet_is_asked_again_soon(watched: bool) -> None:
    feed = a_feed_after_an_outage()
    if watched:
        feed.watch_opened(100.0)
        feed.took_events([EXPIRED], 100.0)
        assert isinstance(feed.next_step(), ListPage)
    feed.failed(Failure(FailureKind.REFUSED, "storage is (re)initializing"), 100.0)
    step = feed.next_step()
    assert isinstance(step, Pause)
    assert step.seconds < 2.0
