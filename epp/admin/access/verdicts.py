"""What became of a request for a page, kept for a while. Bounded in number and in time."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

ALLOWED_SECONDS = 60.0
REFUSED_SECONDS = 10.0
# Apart, so that made-up tokens cannot drive out those that are good.
MAX_ALLOWED = 256
MAX_REFUSED = 1024


@dataclass(frozen=True, slots=True)
class Verdict:
    status: int  # of HTTP; 200 lets the request through
    text: str = ""

    @property
    def allowed(self) -> bool:
        return self.status == 200


class Verdicts:
    """By key, each until its time. The key used least recently goes first."""

    def __init__(self) -> None:
        self._allowed: OrderedDict[bytes, tuple[float, Verdict]] = OrderedDict()
        self._refused: OrderedDict[bytes, tuple[float, Verdict]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._allowed) + len(self._refused)

    def find(self, key: bytes, now: float) -> Verdict | None:
        for kept in (self._allowed, self._refused):
            if (entry := kept.get(key)) is None:
                continue
            until, verdict = entry
            if now < until:
                kept.move_to_end(key)
                return verdict
            del kept[key]
        return None

    def keep(self, key: bytes, verdict: Verdict, now: float) -> None:
        kept, other = self._allowed, self._refused
        limit, seconds = MAX_ALLOWED, ALLOWED_SECONDS
        if not verdict.allowed:
            kept, other = other, kept
            limit, seconds = MAX_REFUSED, REFUSED_SECONDS
        other.pop(key, None)
        kept[key] = (now + seconds, verdict)
        kept.move_to_end(key)
        if len(kept) > limit:
            kept.popitem(last=False)
