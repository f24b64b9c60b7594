"""What one client asks for: a session is turns one after another, each a request."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import count

from epp.simulation.fleet.segments import Segment


@dataclass(slots=True)
class Turn:
    """One request. Its answer is a segment that later turns can begin with."""

    segments: tuple[Segment, ...]
    output_tokens: int
    max_output_tokens: int | None = None  # as the client says; the picker sees only this
    answer: int = 0  # key of the answer as a segment; 0 if nobody goes on from it
    after_seconds: float = 0.0  # since the end of the turn before, or the start of the session
    model: str = ""  # of an adapter; empty is the base model
    objective: str = ""
    flow: str = ""  # fairness id
    session: str = ""


Session = Iterable[Turn]


@dataclass(slots=True)
class Texts:
    """Gives every new text a key of its own."""

    _keys: Iterator[int] = field(default_factory=lambda: count(1))

    def new(self, tokens: float) -> Segment:
        """A text of at least one token that nobody has seen."""
        return Segment(next(self._keys), max(1, round(tokens)))

    def new_image(self, tokens: float) -> Segment:
        """An image that nobody has seen, as so many tokens of a prompt."""
        return Segment(next(self._keys), max(1, round(tokens)), image=True)

    def key(self) -> int:
        return next(self._keys)


def conversation(
    texts: Texts,
    opening: tuple[Segment, ...],
    questions: Iterable[tuple[float, float, float]],
    session: str,
) -> Iterator[Turn]:
    """Turns that each repeat all before: tokens of the question, of the answer, and the wait."""
    said = opening
    for question_tokens, answer_tokens, wait_seconds in questions:
        said = (*said, texts.new(question_tokens))
        answer = texts.new(answer_tokens)
        yield Turn(
            said,
            answer.tokens,
            answer=answer.key,
            after_seconds=wait_seconds,
            session=session,
        )
        said = (*said, answer)
