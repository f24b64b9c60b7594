"""What a running picker gives its shadow profiles, and what it says of them in the log."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from typing import Final

from epp.config.settings import Configuration
from epp.shadow.comparison import Shadowing

log = logging.getLogger(__name__)

SILENT_SECONDS: Final = 600.0  # after a failure was told, for more of its kind
MAX_KINDS: Final = 64  # told apart; others are told as one kind


class FailureLog:
    """A plugin that fails does so for every request: the log has one line a kind and ten minutes.

    A kind is the profile, the class of what was raised, and the line that raised it.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._kinds: dict[tuple[str, str, str], tuple[float, int]] = {}  # told at, silent since

    def __call__(self, profile: str, error: Exception) -> None:
        kind = (profile, type(error).__name__, _line(error))
        if kind not in self._kinds and len(self._kinds) >= MAX_KINDS:
            kind = ("", "", "")
        now, known = self._now(), self._kinds.get(kind)
        if known is not None and now - known[0] < SILENT_SECONDS:
            self._kinds[kind] = (known[0], known[1] + 1)
            return
        self._kinds[kind] = (now, 0)
        more = 0 if known is None else known[1]
        log.error(
            "shadow profile %s failed; requests are not affected",
            profile,
            exc_info=error,
            extra={"more_of_its_kind_before": more} if more else {},
        )


def _line(error: Exception) -> str:
    """That raised it. Reads no source file, as `traceback` does."""
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    return "" if at is None else f"{at.tb_frame.f_code.co_filename}:{at.tb_lineno}"


def shadowing() -> Shadowing:
    return Shadowing(time.perf_counter, random.Random(), FailureLog(time.monotonic))


def tell_shadows(configuration: Configuration) -> None:
    """In the log, where there are some."""
    if configuration.shadows:
        log.info(
            "shadow profiles look on",
            extra={
                "live_profile": configuration.profile.name,
                "shadows": {s.profile.name: s.max_loop_share for s in configuration.shadows},
            },
        )
