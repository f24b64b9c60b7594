"""A feed against a model of an API server, under any interleaving of changes, cuts and errors."""

from __future__ import annotations

import random

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from epp.datalayer.discovery.kubernetes.answers import (
    Bookmark,
    Event,
    Failure,
    FailureKind,
    Key,
    Page,
    Put,
    Removed,
)
from epp.datalayer.discovery.kubernetes.feed import Feed, ListPage, LookUp, OpenWatch, Pause
from epp.datalayer.discovery.kubernetes.resource import Resource

NAMES = st.sampled_from("abcde")
ALWAYS_THERE: Key = ("ns", "always")


class Server:
    """Objects with a history. Versions below `oldest` have been compacted away."""

    def __init__(self) -> None:
        self.objects: dict[Key, int] = {ALWAYS_THERE: 0}
        self.version = 1
        self.oldest = 1
        self.history: list[tuple[int, Event[int]]] = []

    def put(self, key: Key, value: int) -> None:
        self.version += 1
        self.objects[key] = value
        self.history.append((self.version, Put(key, value, "", str(self.version))))

    def remove(self, key: Key) -> None:
        if key in self.objects:
            self.version += 1
            del self.objects[key]
            self.history.append((self.version, Removed(key, str(self.version))))

    def since(self, version: int) -> list[Event[int]]:
        return [event for number, event in self.history if number > version]


class FeedModel(RuleBasedStateMachine):
    """The feed asks, the rules decide what becomes of it."""

    @initialize(seed=st.integers(0, 9))
    def begin(self, seed: int) -> None:
        self.server = Server()
        self.feed: Feed[int] = Feed(
            Resource("g", "v1", "things", "Thing", "ns"), random.Random(seed)
        )
        self.now = 0.0
        self.cursor: int | None = None  # how far the open watch is
        self.snapshot: tuple[int, list[tuple[Key, int]]] | None = None  # of a list in pages
        self.was_listed = False

    @rule(name=NAMES, value=st.integers(0, 3))
    def put(self, name: str, value: int) -> None:
        self.server.put(("ns", name), value)

    @rule(name=NAMES)
    def remove(self, name: str) -> None:
        self.server.remove(("ns", name))

    @rule()
    def compact(self) -> None:
        self.server.oldest = self.server.version

    @rule(seconds=st.sampled_from([0.1, 3.0, 30.0, 300.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(cut=st.integers(1, 3))
    def ask(self, cut: int) -> None:
        if self.cursor is not None:
            self.hear(cut)
            return
        match self.feed.next_step():
            case Pause(seconds=seconds):
                assert 0.0 < seconds <= 33.0
                self.now += seconds
            case ListPage(continue_token=token):
                self.list_page(token, cut)
            case OpenWatch(resource_version=version):
                if int(version) < self.server.oldest:
                    self.feed.failed(Failure(FailureKind.GONE, "410"), self.now)
                else:
                    self.feed.watch_opened(self.now)
                    self.cursor = int(version)
            case LookUp():
                self.feed.looked_up(True)

    def list_page(self, token: str, size: int) -> None:
        if not token:
            self.snapshot = (self.server.version, sorted(self.server.objects.items()))
        assert self.snapshot is not None
        version, items = self.snapshot
        start = int(token or 0)
        if token and version < self.server.oldest:
            self.feed.failed(Failure(FailureKind.GONE, "the token expired"), self.now)
            return
        end = start + size
        following = str(end) if end < len(items) else ""
        self.feed.took_page(Page(dict(items[start:end]), {}, str(version), following, 100))

    def hear(self, count: int) -> None:
        assert self.cursor is not None
        events = self.server.since(self.cursor)[:count]
        self.feed.took_events(events, self.now)
        if events:
            self.cursor = int(events[-1].resource_version)  # type: ignore[union-attr]

    @precondition(lambda self: self.cursor is not None)
    @rule()
    def bookmark(self) -> None:
        if not self.server.since(self.cursor or 0):
            self.feed.took_events([Bookmark(str(self.server.version))], self.now)
            self.cursor = self.server.version

    @precondition(lambda self: self.cursor is not None)
    @rule(expired=st.booleans())
    def end_watch(self, expired: bool) -> None:
        if expired:
            self.feed.took_events([Failure(FailureKind.GONE, "410 in band")], self.now)
        else:
            self.feed.watch_ended(self.now)
        self.cursor = None

    @rule(
        kind=st.sampled_from(
            [
                FailureKind.UNREACHABLE,
                FailureKind.REFUSED,
                FailureKind.UNAUTHORIZED,
                FailureKind.FORBIDDEN,
                FailureKind.GONE,
            ]
        )
    )
    def fail(self, kind: FailureKind) -> None:
        self.feed.failed(Failure(kind, "injected"), self.now)
        self.cursor = None

    @invariant()
    def never_emptied(self) -> None:
        if not hasattr(self, "feed"):
            return
        if self.was_listed:
            assert ALWAYS_THERE in self.feed.objects
        self.was_listed |= self.feed.listed

    def teardown(self) -> None:
        """Once the faults end, the feed comes to the server's state, however things stand."""
        if not hasattr(self, "feed"):
            return
        for _ in range(60):
            self.ask(3)
        assert self.feed.listed
        assert self.feed.objects == self.server.objects


TestFeedModel = FeedModel.TestCase
TestFeedModel.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
