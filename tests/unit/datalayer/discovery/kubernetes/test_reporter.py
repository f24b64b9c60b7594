from __future__ import annotations

import random

import pytest

from epp.datalayer.discovery.kubernetes.answers import Failure, FailureKind, Page
from epp.datalayer.discovery.kubernetes.feed import Feed
from epp.datalayer.discovery.kubernetes.reporter import MAX_PROBLEMS, Reporter
from epp.datalayer.discovery.kubernetes.resource import Resource

DOWN = Failure(FailureKind.UNREACHABLE, "refused")
BUSY = Failure(FailureKind.REFUSED, "HTTP 503")
FORBIDDEN = Failure(FailureKind.FORBIDDEN, "HTTP 403: no")
MISSING = Failure(FailureKind.NOT_FOUND, "HTTP 404")


def a_feed(plural: str = "pods", *, required: bool = True) -> Feed[int]:
    return Feed(Resource("", "v1", plural, "Pod", "ns", required=required), random.Random(1))


def listed(feed: Feed[int]) -> Feed[int]:
    feed.next_step()
    feed.took_page(Page({}, {}, "1", "", 1))
    return feed


def test_a_server_that_fails_is_told_once_for_all_resources(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    reporter, feeds = Reporter(), [listed(a_feed(name)) for name in ("pods", "pools", "models")]
    for now, failure in ((1.0, DOWN), (2.0, BUSY), (3.0, DOWN)):
        for feed in feeds:
            feed.failed(failure, now)
            reporter.observe(feed, now)
    for feed in feeds:
        feed.watch_opened(9.0)
        reporter.observe(feed, 9.0)
        reporter.observe(feed, 9.5)
    first, last = caplog.records
    assert "list pods: refused" in first.getMessage()
    assert last.getMessage() == "the API server serves again"
    assert vars(last)["seconds"] == 8.0


def test_one_that_is_not_followed_any_more_does_not_hold_up_the_good_news(
    caplog: pytest.LogCaptureFixture,
) -> None:
    reporter, left, kept = Reporter(), a_feed("pods"), a_feed("pools")
    for feed in (left, kept):
        feed.failed(DOWN, 1.0)
        reporter.observe(feed, 1.0)
    reporter.forget(left)
    reporter.observe(listed(kept), 2.0)
    assert caplog.messages[-1] == "the API server serves again"


def test_permission_is_named_with_verb_resource_and_namespace(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    reporter, feed = Reporter(), a_feed()
    for _ in range(3):
        feed.next_step()
        feed.failed(FORBIDDEN, 1.0)
        reporter.observe(feed, 1.0)
        feed.next_step()
    reporter.observe(listed(feed), 2.0)
    feed.next_step()
    feed.failed(FORBIDDEN, 3.0)
    reporter.observe(feed, 3.0)
    first, second, third = caplog.messages
    assert "not permitted: list pods in namespace ns" in first
    assert second == "pods in namespace ns: works again"
    assert "not permitted: watch pods in namespace ns" in third


@pytest.mark.parametrize(("required", "level"), [(True, "WARNING"), (False, "INFO")])
def test_what_is_not_installed_is_told_once_and_again_when_it_comes(
    caplog: pytest.LogCaptureFixture, required: bool, level: str
) -> None:
    caplog.set_level("INFO")
    reporter, feed = Reporter(), a_feed(required=required)
    for now in (1.0, 31.0):
        feed.failed(MISSING, now)
        reporter.observe(feed, now)
    assert [record.levelname for record in caplog.records] == [level]
    reporter.observe(listed(feed), 60.0)
    assert caplog.messages[1:] == ["pods is installed now"]


def test_each_problem_of_an_object_once_and_not_endlessly_many(
    caplog: pytest.LogCaptureFixture,
) -> None:
    reporter, feed = Reporter(), a_feed()
    feed.took_page(Page({}, {("ns", "a"): "spec: is missing"}, "1", "", 1))
    reporter.observe(feed, 1.0)
    reporter.observe(feed, 2.0)
    assert caplog.messages == ["Pod ns/a is left out: spec: is missing"]
    many = {("ns", f"p{n}"): "bad" for n in range(MAX_PROBLEMS + 3)}
    feed.took_page(Page({}, many, "2", "", 1))
    reporter.observe(feed, 3.0)
    assert len(caplog.messages) == 1 + MAX_PROBLEMS + 1
    assert caplog.messages[-1] == "3 more of pods are left out"
