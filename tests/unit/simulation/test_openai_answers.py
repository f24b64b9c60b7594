import json
from pathlib import Path

import pytest

from epp.simulation.openai_answers import (
    DONE,
    Answer,
    ChatAnswer,
    CompletionAnswer,
    Usage,
    models_body,
)
from epp.simulation.openai_requests import ApiError

RECORDED = Path(__file__).parents[2] / "fixtures" / "vllm-0.32"
CHAT = ChatAnswer("chatcmpl-x", 1, "m")
TEXT = CompletionAnswer("cmpl-x", 1, "m")
USAGE = Usage(3, 8)


def recorded_body(name: str) -> bytes:
    return (RECORDED / name).read_bytes().partition(b"\r\n\r\n")[2]


def shape(value: object) -> object:
    """Keys in their order and kinds of values, without the values."""
    if isinstance(value, dict):
        return [(key, shape(inner)) for key, inner in value.items()]
    if isinstance(value, list):
        return [shape(inner) for inner in value]
    return type(value).__name__


def events(stream: bytes) -> list[object]:
    parts = stream.split(b"\n\n")
    assert parts.pop() == b""
    assert parts.pop() == b"data: [DONE]"
    assert all(part.startswith(b"data: ") for part in parts)
    return [json.loads(part[6:]) for part in parts]


def stream(answer: Answer, *, usage: bool) -> bytes:
    chunks = [answer.opening(), *(answer.chunk("word") for _ in range(7))]
    chunks.append(answer.closing("word", "length", last=not usage))
    if usage:
        chunks.append(answer.usage(USAGE))
    return b"".join([*chunks, DONE])


@pytest.mark.parametrize(
    ("ours", "recording"),
    [
        pytest.param(stream(CHAT, usage=True), "chat-stream.http", id="chat with usage"),
        pytest.param(stream(TEXT, usage=False), "completions-stream.http", id="completion"),
    ],
)
def test_streams_have_the_recorded_framing_and_keys(ours: bytes, recording: str) -> None:
    assert shape(events(ours)) == shape(events(recorded_body(recording)))


@pytest.mark.parametrize(
    ("ours", "recording"),
    [
        pytest.param(CHAT.whole("word", "length", USAGE), "chat.http", id="chat"),
        pytest.param(TEXT.whole("word", "length", USAGE), "orca.http", id="completion"),
        pytest.param(models_body(("tiny",), ("ad0", "ad1"), 512, 1), "models.http", id="models"),
        pytest.param(
            ApiError(404, "NotFoundError", "unknown", "model").body(),
            "error-unknown-model.http",
            id="error",
        ),
    ],
)
def test_whole_bodies_have_the_recorded_keys(ours: bytes, recording: str) -> None:
    assert shape(json.loads(ours)) == shape(json.loads(recorded_body(recording)))


def test_the_last_chunk_carries_the_fingerprint() -> None:
    with_usage, without = events(stream(CHAT, usage=True)), events(stream(CHAT, usage=False))
    for chunks in (with_usage, without):
        places = [i for i, chunk in enumerate(chunks) if "system_fingerprint" in str(chunk)]
        assert places == [len(chunks) - 1]


def test_usage_adds_up() -> None:
    whole = json.loads(TEXT.whole("", "stop", USAGE))
    assert whole["usage"]["total_tokens"] == 11


def test_cached_tokens_are_told_where_there_are_any() -> None:
    told = Usage(100, 8, cached_tokens=64)
    assert told.as_dict()["prompt_tokens_details"] == {"cached_tokens": 64}
    assert told.as_full_dict()["prompt_tokens_details"] == {"cached_tokens": 64}
    assert "prompt_tokens_details" not in Usage(100, 8, cached_tokens=0).as_dict()
    assert Usage(100, 8, cached_tokens=0).as_full_dict()["prompt_tokens_details"] is None
