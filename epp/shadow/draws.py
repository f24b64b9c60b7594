"""Random numbers of one decision, drawn again by others: so that only policies make a difference.

Interpreted: a generator of Python's own is subclassed.
"""

from __future__ import annotations

import random
from typing import Any, Final

FLOAT: Final = -1  # the kind of a draw from 0 to 1; others are numbers of bits


class NotedDraws(random.Random):
    """The draws of another generator, as it makes them, and a note of each."""

    def __init__(self) -> None:
        self._source: Any = random.Random(0)  # `gauss_next` is in no type of it
        self.noted: list[tuple[int, float]] = []  # kind and value
        self.gauss_before: float | None = None  # half a pair of normal draws, kept from before

    def begin(self, source: random.Random) -> None:
        self._source = source
        self.noted = []
        self.gauss_before = self._source.gauss_next

    def random(self) -> float:
        value: float = self._source.random()
        self.noted.append((FLOAT, value))
        return value

    def getrandbits(self, k: int, /) -> int:
        value: int = self._source.getrandbits(k)
        self.noted.append((k, value))
        return value

    @property
    def gauss_next(self) -> float | None:
        kept: float | None = self._source.gauss_next
        return kept

    @gauss_next.setter
    def gauss_next(self, value: float | None) -> None:
        self._source.gauss_next = value

    def seed(self, *args: Any, **kwargs: Any) -> None:
        self._source.seed(*args, **kwargs)

    def getstate(self) -> tuple[Any, ...]:
        state: tuple[Any, ...] = self._source.getstate()
        return state

    def setstate(self, state: tuple[Any, ...]) -> None:
        self._source.setstate(state)


class RepeatedDraws(random.Random):
    """Noted draws in their order, as long as the same kind is asked for; from then on its own."""

    def __init__(self, own: random.Random) -> None:
        self._own = own
        self._noted: list[tuple[int, float]] = []
        self._at = 0
        self.gauss_next: float | None = None

    def begin(self, draws: NotedDraws) -> None:
        self._noted, self._at = draws.noted, 0
        self.gauss_next = draws.gauss_before

    def random(self) -> float:
        value = self._again(FLOAT)
        return self._own.random() if value is None else value

    def getrandbits(self, k: int, /) -> int:
        value = self._again(k)
        return self._own.getrandbits(k) if value is None else int(value)

    def _again(self, kind: int) -> float | None:
        """None: it was something else, or no more."""
        if self._at < len(self._noted):
            noted, value = self._noted[self._at]
            if noted == kind:
                self._at += 1
                return value
            self._at = len(self._noted)
        return None
