"""Every workload asks about what it says: means over many sessions."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from random import Random
from statistics import fmean

import pytest

from epp.simulation.workloads.catalogue import CATALOGUE
from epp.simulation.workloads.turns import Turn

# Mean tokens of the prompt of a session's first request and of an answer.
SIZES = {
    "b2b-saas": (7200, 1000),
    "tiered": (16_256, 256),
    "zipf": (4300, 300),
    "chat": (5050, 300),
    "code-generation": (60_000, 790),
    "rag": (12_150, 495),
    "longmix": (4050, 250),
    "azure-conversation": (1440, 200),
    "bursts": (1440, 200),
    "reasoning": (1240, 3000),
    "lora": (400, 120),
    "priorities": (1000, 512),
    "images": (3900, 150),
}
CLOSE = 0.05


def prompt_tokens(turn: Turn) -> int:
    return sum(segment.tokens for segment in turn.segments)


def sessions(name: str, count: int = 3000, seed: int = 11) -> list[list[Turn]]:
    return [list(session) for session in islice(CATALOGUE[name].sessions(Random(seed)), count)]


@pytest.mark.parametrize("name", CATALOGUE)
def test_turns_and_sizes_are_what_it_says(name: str) -> None:
    found = sessions(name, 3000 if CATALOGUE[name].turns > 1 else 15_000)
    first, answer = SIZES[name]
    assert fmean(map(len, found)) == pytest.approx(CATALOGUE[name].turns, rel=CLOSE)
    assert fmean(prompt_tokens(turns[0]) for turns in found) == pytest.approx(first, rel=0.07)
    answers = [turn.output_tokens for turns in found for turn in turns]
    assert fmean(answers) == pytest.approx(answer, rel=CLOSE)
    assert min(answers) >= 1


@pytest.mark.parametrize("name", CATALOGUE)
def test_equal_seeds_ask_the_same(name: str) -> None:
    assert sessions(name, 50) == sessions(name, 50)


@pytest.mark.parametrize("name", CATALOGUE)
def test_names_objectives_and_title_are_given(name: str) -> None:
    workload = CATALOGUE[name]
    assert workload.name == name
    assert workload.title
    assert min(workload.ttft_seconds, workload.tpot_seconds, workload.window_seconds) > 0


def share_of_shared_tokens(name: str, count: int = 1500) -> float:
    """Of prompt tokens, those of texts that an earlier prompt has begun with too."""
    seen: set[tuple[int, ...]] = set()
    shared = total = 0
    for turns in sessions(name, count):
        for turn in turns:
            keys: tuple[int, ...] = ()
            for segment in turn.segments:
                keys = (*keys, segment.key)
                shared += segment.tokens * (keys in seen)
                seen.add(keys)
            seen.add((*keys, turn.answer))
            total += prompt_tokens(turn)
    return shared / total


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("b2b-saas", 0.8, 1.0),
        ("zipf", 0.8, 0.95),
        ("chat", 0.7, 0.9),
        ("code-generation", 0.8, 0.9),
        ("rag", 0.0, 0.05),
        ("azure-conversation", 0.0, 0.0),
        ("reasoning", 0.15, 0.3),
    ],
)
def test_as_much_is_shared_as_the_name_says(name: str, low: float, high: float) -> None:
    assert low <= share_of_shared_tokens(name) <= high


def test_lengths_of_the_azure_conversation_are_those_of_the_published_trace() -> None:
    turns = [turns[0] for turns in sessions("azure-conversation", 20_000)]
    prompts = sorted(map(prompt_tokens, turns))
    answers = sorted(turn.output_tokens for turn in turns)
    for found, median, ninth in ((prompts, 1020, 2734), (answers, 129, 424)):
        assert found[len(found) // 2] == pytest.approx(median, rel=0.08)
        assert found[len(found) * 9 // 10] == pytest.approx(ninth, rel=0.08)


def test_one_prompt_in_twenty_of_longmix_is_huge() -> None:
    prompts = [prompt_tokens(turns[0]) for turns in sessions("longmix", 5000)]
    assert sum(tokens > 20_000 for tokens in prompts) / 5000 == pytest.approx(0.05, rel=0.15)


def test_twenty_adapters_are_asked_for_as_zipf_says() -> None:
    asked = Counter(turns[0].model for turns in sessions("lora", 5000))
    assert len(asked) == CATALOGUE["lora"].adapters == 20
    assert asked["adapter-0"] / asked["adapter-9"] == pytest.approx(10, rel=0.4)


def test_objectives_of_priorities_come_as_two_to_six_to_two() -> None:
    asked = Counter(turns[0].objective for turns in sessions("priorities", 5000))
    assert asked["critical"] / 5000 == pytest.approx(0.2, rel=0.1)
    assert asked["standard"] / 5000 == pytest.approx(0.6, rel=0.1)
    assert asked["batch"] / 5000 == pytest.approx(0.2, rel=0.1)
