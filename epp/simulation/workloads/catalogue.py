"""Workloads by name. Sizes are those of published benchmarks where there is one; see the docs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from random import Random
from typing import Final

from epp.simulation.workloads.draws import Zipf, lognormal, normal
from epp.simulation.workloads.turns import Session, Texts, Turn, conversation

Sessions = Callable[[Random], Iterator[Session]]


@dataclass(frozen=True, slots=True)
class Workload:
    """What clients ask, and what they expect."""

    name: str
    title: str
    sessions: Sessions  # without end
    turns: float  # per session, on average
    ttft_seconds: float  # service level objective of the first token
    tpot_seconds: float  # and of each one after it
    variation: float = 1.0  # of the gaps between sessions
    warmup_seconds: float = 60.0
    window_seconds: float = 60.0
    drain_seconds: float = 60.0
    adapters: int = 0


def shared_prefix(groups: int, questions: int, system: int, question: int, answer: int) -> Sessions:
    """Each group has a system prompt and some questions, which come again and again."""

    def sessions(rng: Random) -> Iterator[Session]:
        texts = Texts()
        systems = [texts.new(system) for _ in range(groups)]
        prompts = [(text, texts.new(question)) for text in systems for _ in range(questions)]
        rng.shuffle(prompts)
        while True:
            for prompt in prompts:
                yield (Turn(prompt, answer),)

    return sessions


def _zipf(rng: Random) -> Iterator[Session]:
    texts, ranks = Texts(), Zipf(150, 1.0)
    systems = [texts.new(4000) for _ in range(150)]
    while True:
        question = texts.new(lognormal(rng, 300, 200, 20, 2000))
        answer = round(lognormal(rng, 300, 200, 10, 2000))
        yield (Turn((systems[ranks.draw(rng)], question), answer),)


def _chat(rng: Random) -> Iterator[Session]:
    texts = Texts()
    shared = texts.new(1000)
    while True:
        own = texts.new(lognormal(rng, 4000, 2500, 500, 15_000))
        turns = round(lognormal(rng, 4, 3, 1, 15))
        questions = [
            (
                lognormal(rng, 50, 60, 10, 1000),
                normal(rng, 300, 150, 10, 1000),
                lognormal(rng, 15, 12, 2, 60) if turn else 0.0,
            )
            for turn in range(turns)
        ]
        yield conversation(texts, (shared, own), questions, f"chat-{own.key}")


def _code(rng: Random) -> Iterator[Session]:
    texts = Texts()
    shared = texts.new(3000)
    while True:
        own = texts.new(normal(rng, 55_000, 25_000, 15_000, 100_000))
        turns = round(normal(rng, 6, 3.5, 2, 20))
        questions = [
            (lognormal(rng, 1500, 1200, 100, 10_000), lognormal(rng, 800, 600, 50, 4000), 0.0)
            for _ in range(turns)
        ]
        yield conversation(texts, (shared, own), questions, f"code-{own.key}")


def _rag(rng: Random) -> Iterator[Session]:
    texts = Texts()
    shared = texts.new(500)
    while True:
        documents = texts.new(lognormal(rng, 12_000, 10_000, 1000, 40_000))
        yield (Turn((shared, documents), round(lognormal(rng, 500, 400, 50, 2000))),)


def _longmix(rng: Random) -> Iterator[Session]:
    texts = Texts()
    shared = texts.new(500)
    while True:
        long = rng.random() < 0.05
        size = rng.uniform(20_000, 100_000) if long else lognormal(rng, 600, 500, 50, 4000)
        answer = round(lognormal(rng, 250, 200, 20, 1500))
        yield (Turn((shared, texts.new(size)), answer),)


def _azure(rng: Random) -> Iterator[Session]:
    """As a published trace within 6 %: medians 1020 and 129 tokens, nine tenths 2734 and 424."""
    texts = Texts()
    while True:
        prompt = texts.new(lognormal(rng, 1450, 1300, 10, 8000))
        yield (Turn((prompt,), round(lognormal(rng, 200, 220, 5, 1500))),)


def _reasoning(rng: Random) -> Iterator[Session]:
    texts = Texts()
    shared = texts.new(250)
    while True:
        question = texts.new(lognormal(rng, 1000, 800, 100, 5000))
        yield (Turn((shared, question), round(lognormal(rng, 3000, 2500, 500, 16_000))),)


def _lora(rng: Random) -> Iterator[Session]:
    texts, ranks = Texts(), Zipf(20, 1.0)
    while True:
        adapter = ranks.draw(rng)
        question = texts.new(lognormal(rng, 400, 300, 20, 3000))
        answer = round(lognormal(rng, 120, 80, 10, 800))
        yield (Turn((question,), answer, model=f"adapter-{adapter}"),)


def _images(rng: Random) -> Iterator[Session]:
    texts = Texts()
    shared = texts.new(300)
    while True:
        seen = [
            texts.new_image(lognormal(rng, 1200, 700, 100, 4000))
            for _ in range(round(lognormal(rng, 3, 2.5, 1, 10)))
        ]
        questions = [
            (
                lognormal(rng, 60, 60, 10, 500),
                lognormal(rng, 150, 120, 10, 800),
                lognormal(rng, 15, 12, 2, 60) if turn else 0.0,
            )
            for turn in range(round(lognormal(rng, 2, 1.5, 1, 6)))
        ]
        yield conversation(texts, (shared, *seen), questions, f"images-{seen[0].key}")


def _priorities(rng: Random) -> Iterator[Session]:
    texts = Texts()
    objectives = ["critical"] * 2 + ["standard"] * 6 + ["batch"] * 2
    while True:
        question = texts.new(lognormal(rng, 1000, 600, 50, 6000))
        objective = rng.choice(objectives)
        yield (Turn((question,), 512, objective=objective, flow=objective),)


CATALOGUE: Final[Mapping[str, Workload]] = {
    workload.name: workload
    for workload in (
        Workload(
            "b2b-saas",
            "150 customers with system prompts of 6000 tokens, 5 questions of 1200 each",
            shared_prefix(150, 5, 6000, 1200, 1000),
            *(1.0, 2.0, 0.060),
        ),
        Workload(
            "tiered",
            "250 system prompts of 16 000 tokens: more than the caches hold",
            shared_prefix(250, 5, 16_000, 256, 256),
            *(1.0, 2.0, 0.060),
            warmup_seconds=90.0,
        ),
        Workload(
            "zipf", "150 system prompts, some far more asked than others", _zipf, 1.0, 1.0, 0.050
        ),
        Workload(
            "chat",
            "short conversations with a system prompt of their own",
            *(_chat, 3.95, 1.0, 0.050),
            warmup_seconds=90.0,
        ),
        Workload(
            "code-generation",
            "agents that repeat 55 000 tokens at every turn",
            *(_code, 6.8, 10.0, 0.100),
            warmup_seconds=120.0,
            window_seconds=120.0,
            drain_seconds=120.0,
        ),
        Workload("rag", "long documents, each asked once", _rag, 1.0, 5.0, 0.100),
        Workload("longmix", "one in twenty prompts is huge", _longmix, 1.0, 2.0, 0.060),
        Workload("azure-conversation", "nothing is shared", _azure, 1.0, 1.0, 0.050),
        Workload("bursts", "the same in bursts", _azure, 1.0, 1.0, 0.050, variation=4.0),
        Workload(
            "reasoning",
            "short prompts, long answers",
            *(_reasoning, 1.0, 2.0, 0.060),
            warmup_seconds=150.0,
            window_seconds=120.0,
            drain_seconds=400.0,
        ),
        Workload("lora", "20 adapters for 4 slots", _lora, 1.0, 2.0, 0.060, adapters=20),
        Workload(
            "images",
            "some images and a question or two about them",
            *(_images, 2.05, 2.0, 0.060),
        ),
        Workload("priorities", "three objectives", _priorities, 1.0, 2.0, 0.060),
    )
}
