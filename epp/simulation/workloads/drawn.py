"""Workloads that nobody chose: what is shared, how long it is and who goes on is drawn by number.

A policy that was tuned by known workloads shows here what it is worth on others.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from epp.simulation.workloads.catalogue import Sessions, Workload
from epp.simulation.workloads.draws import Zipf, lognormal
from epp.simulation.workloads.turns import Session, Texts, conversation

LONGEST_QUESTION_TOKENS = 100_000
LONGEST_ANSWER_TOKENS = 4000


@dataclass(frozen=True, slots=True)
class Kind:
    """One sort of session of a workload. Sizes are means, variations their deviation over them."""

    weight: float  # of its sessions among those of all kinds
    prefixes: int  # that sessions begin with; 0: nothing is shared
    exponent: float  # of the Zipf law by which one of them is taken
    prefix_tokens: float
    question_tokens: float
    question_variation: float
    answer_tokens: float
    answer_variation: float
    turns: int
    think_seconds: float

    @property
    def prompt_tokens(self) -> float:
        """Of a mean turn, which repeats all before."""
        prefix = self.prefix_tokens if self.prefixes else 0.0
        before = (self.turns - 1) / 2 * (self.question_tokens + self.answer_tokens)
        return prefix + before + self.question_tokens


def drawn_kinds(number: int) -> tuple[Kind, ...]:
    """One to three."""
    rng = Random(f"workload {number}")
    return tuple(_kind(rng) for _ in range(rng.choice((1, 1, 2, 3))))


def drawn_workload(number: int) -> Workload:
    """The same for the same number. Its objectives suit a fast accelerator."""
    kinds = drawn_kinds(number)
    return Workload(
        f"drawn-{number}",
        f"drawn by the number {number}",
        _sessions(kinds),
        turns=sum(kind.weight * kind.turns for kind in kinds) / sum(kind.weight for kind in kinds),
        ttft_seconds=1.0 + 4e-4 * mean_prompt_tokens(kinds),
        tpot_seconds=0.060,
        variation=Random(f"arrivals {number}").choice((1.0, 1.0, 2.0, 4.0)),
        drain_seconds=90.0,
    )


def mean_prompt_tokens(kinds: tuple[Kind, ...]) -> float:
    """Of a request."""
    requests = sum(kind.weight * kind.turns for kind in kinds)
    return sum(kind.weight * kind.turns * kind.prompt_tokens for kind in kinds) / requests


def _kind(rng: Random) -> Kind:
    return Kind(
        weight=_between(rng, 0.03, 1.0),
        prefixes=rng.choice((0, 0, 1, 5, 20, 60, 150, 400)),
        exponent=rng.choice((0.0, 0.5, 1.0, 1.3)),
        prefix_tokens=_between(rng, 300.0, 20_000.0),
        question_tokens=_between(rng, 50.0, 8000.0),
        question_variation=rng.choice((0.1, 0.5, 1.0, 2.0)),
        answer_tokens=_between(rng, 10.0, 1200.0),
        answer_variation=rng.choice((0.1, 0.5, 1.0)),
        turns=rng.choice((1, 1, 1, 3, 6)),
        think_seconds=rng.choice((0.5, 5.0, 20.0)),
    )


def _between(rng: Random, low: float, high: float) -> float:
    """Every order of magnitude is as likely."""
    return math.exp(rng.uniform(math.log(low), math.log(high)))


def _sessions(kinds: tuple[Kind, ...]) -> Sessions:
    def sessions(rng: Random) -> Iterator[Session]:
        texts = Texts()
        ranks = [Zipf(kind.prefixes, kind.exponent) for kind in kinds]
        prefixes = [[texts.new(k.prefix_tokens) for _ in range(k.prefixes)] for k in kinds]
        weights = [kind.weight for kind in kinds]
        while True:
            [of] = rng.choices(range(len(kinds)), weights)
            kind = kinds[of]
            shared = prefixes[of]
            opening = (shared[ranks[of].draw(rng)],) if shared else ()
            questions = [_question(kind, turn, rng) for turn in range(kind.turns)]
            yield conversation(texts, opening, questions, f"session-{texts.key()}")

    return sessions


def _question(kind: Kind, turn: int, rng: Random) -> tuple[float, float, float]:
    """Tokens of the question, of its answer, and the wait before it."""
    question, answer = kind.question_tokens, kind.answer_tokens
    return (
        lognormal(rng, question, kind.question_variation * question, 5, LONGEST_QUESTION_TOKENS),
        lognormal(rng, answer, kind.answer_variation * answer, 2, LONGEST_ANSWER_TOKENS),
        rng.expovariate(1.0 / kind.think_seconds) if turn else 0.0,
    )
