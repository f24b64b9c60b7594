"""Turns what becomes of the feeds into log lines: one when matters change, none while they stay."""

from __future__ import annotations

import logging
from typing import Any, Final

from epp.datalayer.discovery.kubernetes.answers import Failure, FailureKind
from epp.datalayer.discovery.kubernetes.feed import LOOK_AGAIN_SECONDS, Feed

log = logging.getLogger(__name__)

_OF_THE_SERVER: Final = (FailureKind.UNREACHABLE, FailureKind.REFUSED)
MAX_PROBLEMS: Final = 20  # named for one resource; more are counted


class Reporter:
    """Told of a feed after each step of it."""

    def __init__(self) -> None:
        self._lost: set[str] = set()  # resources about which the server gives no answer
        self._lost_since = 0.0
        self._troubles: dict[str, str] = {}
        self._absent: set[str] = set()
        self._problems: dict[str, dict[tuple[str, str], str]] = {}

    def observe(self, feed: Feed[Any], now: float) -> None:
        name, trouble = feed.resource.name, feed.trouble
        if trouble is not None and trouble.kind in _OF_THE_SERVER:
            self._lose(f"{feed.verb} {name}: {trouble.detail}", name, now)
            trouble = None
        elif name in self._lost and feed.answered:
            self._find(name, now)
        self._note_trouble(feed, trouble)
        self._note_absence(feed)
        if self._problems.get(name, {}) != feed.problems:
            self._note_problems(feed)

    def forget(self, feed: Feed[Any]) -> None:
        """It is not followed any more."""
        self._lost.discard(feed.resource.name)

    def _lose(self, what: str, name: str, now: float) -> None:
        if not self._lost:
            self._lost_since = now
            text = "the API server fails; picking goes on with what is known: %s"
            log.warning(text, what)
        elif name not in self._lost:
            log.debug("fails too: %s", what)
        self._lost.add(name)

    def _find(self, name: str, now: float) -> None:
        self._lost.discard(name)
        if not self._lost:
            seconds = round(now - self._lost_since, 1)
            log.warning("the API server serves again", extra={"seconds": seconds})

    def _note_trouble(self, feed: Feed[Any], trouble: Failure | None) -> None:
        resource = feed.resource
        kind = "" if trouble is None else f"{feed.verb} {trouble.kind}"
        before = self._troubles.pop(resource.name, "")
        if kind:
            self._troubles[resource.name] = kind
        if trouble is None or kind == before:
            if before and trouble is None and feed.answered:
                log.info("%s in namespace %s: works again", resource.name, resource.namespace)
            return
        what = f"{feed.verb} {resource.name} in namespace {resource.namespace}"
        if trouble.kind is FailureKind.FORBIDDEN:
            log.warning(
                "not permitted: %s; a Role that allows it is needed, it is tried again: %s",
                what,
                trouble.detail,
            )
        else:
            log.warning("failed: %s; it is tried again: %s", what, trouble.detail)

    def _note_absence(self, feed: Feed[Any]) -> None:
        resource = feed.resource
        if feed.absent and resource.name not in self._absent:
            self._absent.add(resource.name)
            log.log(
                logging.WARNING if resource.required else logging.INFO,
                "%s (%s) is not installed; it is looked for every %g s",
                resource.name,
                resource.version,
                LOOK_AGAIN_SECONDS,
            )
        elif feed.listed and resource.name in self._absent:
            self._absent.discard(resource.name)
            log.info("%s is installed now", resource.name)

    def _note_problems(self, feed: Feed[Any]) -> None:
        resource = feed.resource
        before = self._problems.get(resource.name, {})
        fresh = [(key, text) for key, text in feed.problems.items() if before.get(key) != text]
        for (namespace, name), text in fresh[:MAX_PROBLEMS]:
            log.warning("%s %s/%s is left out: %s", resource.kind, namespace, name, text)
        if len(fresh) > MAX_PROBLEMS:
            more = len(fresh) - MAX_PROBLEMS
            log.warning("%d more of %s are left out", more, resource.name)
        self._problems[resource.name] = dict(feed.problems)
