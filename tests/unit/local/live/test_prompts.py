from __future__ import annotations

import orjson
import pytest

from epp.local.live.prompts import body_of, text_of
from epp.payloads.request import read_request
from epp.prefixcache.blocks import hash_chain
from epp.simulation.fleet.segments import Segment
from epp.simulation.openai_requests import parse_completion
from epp.simulation.tokens import block_hashes, decode
from epp.simulation.workloads.turns import Turn

SYSTEM, QUESTION, OTHER = Segment(1, 101), Segment(2, 33), Segment(3, 33)


def test_a_server_counts_the_tokens_of_the_segments() -> None:
    body = body_of(Turn((SYSTEM, QUESTION), 7), {})
    call = parse_completion(body)
    assert len(call.prompt) == 134
    assert (call.max_output_tokens, call.ignore_eos) == (7, True)
    assert call.stream
    assert call.include_usage


@pytest.mark.parametrize("tokens", [1, 3, 4, 1000])
def test_any_number_of_tokens(tokens: int) -> None:
    assert len(parse_completion(body_of(Turn((Segment(9, tokens),), 1), {})).prompt) == tokens


def test_what_is_shared_is_shared_for_server_and_picker() -> None:
    bodies = [body_of(Turn((SYSTEM, last), 7), {}) for last in (QUESTION, OTHER)]
    one, two = (block_hashes(parse_completion(body).prompt, 16, "") for body in bodies)
    assert [a == b for a, b in zip(one, two, strict=True)] == [True] * 6 + [False] * 2
    prompts = [read_request("/v1/completions", {}, body).prompt for body in bodies]
    chains = [hash_chain("base", "", prompt, 16, 131_072) for prompt in prompts]
    shared = [a == b for a, b in zip(*chains, strict=True)]
    assert shared[0]
    assert not shared[-1]


def test_the_answer_of_a_server_is_repeated_as_it_was() -> None:
    answer = Segment(77, 5)
    said = decode([0x20656874] * 5)  # "the " five times
    body = body_of(Turn((SYSTEM, answer, QUESTION), 7), {77: said})
    assert orjson.loads(body)["prompt"] == text_of(SYSTEM) + said + text_of(QUESTION)
    assert len(parse_completion(body).prompt) == 101 + 5 + 33


def test_an_adapter_is_asked_for_by_its_name() -> None:
    assert orjson.loads(body_of(Turn((SYSTEM,), 1, model="adapter-3"), {}))["model"] == "adapter-3"
    assert orjson.loads(body_of(Turn((SYSTEM,), 1), {}))["model"] == "base"
