"""Carries a feed's conversation over the network, and says in the log what a user should know."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Final, Generic, Protocol, TypeVar

from epp.datalayer.discovery.kubernetes.answers import (
    Failure,
    FailureKind,
    Garbage,
    Reader,
    names_resource,
    read_event,
    read_page,
)
from epp.datalayer.discovery.kubernetes.client import ApiError
from epp.datalayer.discovery.kubernetes.feed import Feed, ListPage, LookUp, OpenWatch, Pause
from epp.datalayer.discovery.kubernetes.reporter import Reporter

T = TypeVar("T")

EVENTS_A_TURN: Final = 16  # then requests go first; an event of ten kilobytes takes 0.1 ms


class Api(Protocol):
    """Raises ApiError."""

    async def get(self, path: str, query: Mapping[str, str]) -> bytes: ...
    def watch(
        self, path: str, query: Mapping[str, str], seconds: float
    ) -> AbstractAsyncContextManager[AsyncIterator[list[bytes]]]: ...
    async def renew(self) -> None: ...


class Follower(Generic[T]):
    """Follows one resource until cancelled. `changed` is called after every change of a feed."""

    def __init__(
        self,
        feed: Feed[T],
        read: Reader[T],
        api: Api,
        reporter: Reporter,
        changed: Callable[[], None],
    ) -> None:
        self.feed = feed
        self._read = read
        self._api = api
        self._reporter = reporter
        self._changed = changed
        self._now = asyncio.get_running_loop().time

    async def run(self) -> None:
        feed = self.feed
        while True:
            step, answered = feed.next_step(), feed.answered
            try:
                match step:
                    case Pause():
                        await asyncio.sleep(step.seconds)
                        continue
                    case ListPage():
                        changed = await self._list(step)
                    case LookUp():
                        changed = feed.looked_up(await self._is_installed())
                    case OpenWatch():
                        changed = await self._watch(step)
            except ApiError as error:
                changed = feed.failed(error.failure, self._now())
                if error.failure.kind is FailureKind.UNAUTHORIZED:
                    await self._renew()
            self._tell(changed or feed.answered is not answered)

    async def _list(self, step: ListPage) -> bool:
        query = {**self.feed.resource.query(), "limit": str(step.limit)}
        if step.continue_token:
            query["continue"] = step.continue_token
        body = await self._api.get(self.feed.resource.path, query)
        try:
            page = await asyncio.to_thread(read_page, body, self._read)
        except Garbage as error:
            raise _unreadable(error) from error
        return self.feed.took_page(page)

    async def _watch(self, step: OpenWatch) -> bool:
        feed = self.feed
        query = {
            **feed.resource.query(),
            "resourceVersion": step.resource_version,
            "allowWatchBookmarks": "true",
        }
        async with self._api.watch(feed.resource.path, query, step.seconds) as batches:
            feed.watch_opened(self._now())
            self._tell(changed=False)
            async for lines in batches:
                for start in range(0, len(lines), EVENTS_A_TURN):
                    self._tell(self._take(lines[start : start + EVENTS_A_TURN]))
                    if not feed.watching:
                        return False
                    await asyncio.sleep(0)
        feed.watch_ended(self._now())
        return False

    def _take(self, lines: list[bytes]) -> bool:
        try:
            events = [read_event(line, self._read) for line in lines]
        except Garbage as error:
            raise _unreadable(error) from error
        return self.feed.took_events(events, self._now())

    async def _is_installed(self) -> bool | None:
        """None if that cannot be found out either."""
        resource = self.feed.resource
        try:
            return names_resource(await self._api.get(resource.group_path, {}), resource.plural)
        except ApiError as error:
            return False if error.failure.kind is FailureKind.NOT_FOUND else None
        except Garbage:
            return None

    async def _renew(self) -> None:
        with contextlib.suppress(ApiError):  # the failure that led here is in the log
            await self._api.renew()

    def _tell(self, changed: bool) -> None:
        self._reporter.observe(self.feed, self._now())
        if changed:
            self._changed()


def _unreadable(error: Garbage) -> ApiError:
    return ApiError(Failure(FailureKind.UNREACHABLE, f"the answer cannot be read: {error}"))
