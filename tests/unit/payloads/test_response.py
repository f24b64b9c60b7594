from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epp.payloads.response import MAX_KEPT_BYTES, TAIL_BYTES, ResponseReader

RECORDED = Path(__file__).parents[2] / "fixtures" / "vllm-0.32"
SSE = "text/event-stream; charset=utf-8"
JSON = "application/json"


def body_of(recording: str) -> bytes:
    return (RECORDED / recording).read_bytes().partition(b"\r\n\r\n")[2]


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted({place % (len(data) + 1) for place in places}), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


def pass_through(reader: ResponseReader, chunks: list[bytes]) -> bytes:
    last = len(chunks) - 1
    return b"".join(reader.feed(chunk, n == last) for n, chunk in enumerate(chunks))


def counts(reader: ResponseReader) -> tuple[int, int] | None:
    usage = reader.usage
    return None if usage is None else (usage.prompt_tokens, usage.completion_tokens)


@pytest.mark.parametrize(
    ("recording", "content_type", "expected"),
    [
        ("chat.http", JSON, (30, 8)),
        ("chat-stream.http", SSE, (30, 8)),
        ("orca.http", JSON, (11, 4)),
        ("responses-stream.http", SSE, (24, 8)),
        ("anthropic-messages-stream.http", SSE, (24, 8)),
        ("completions-stream.http", SSE, None),
        ("error-unknown-model.http", JSON, None),
    ],
)
@given(places=st.lists(st.integers(0, 10_000), max_size=12))
def test_usage_of_recorded_answers_wherever_they_are_cut(
    recording: str, content_type: str, expected: tuple[int, int] | None, places: list[int]
) -> None:
    data = body_of(recording)
    reader = ResponseReader(content_type)
    assert pass_through(reader, cut(data, places)) == data
    assert counts(reader) == expected


@pytest.mark.parametrize(
    ("recording", "content_type", "model"),
    [
        ("chat.http", JSON, b"ad0"),
        ("chat-stream.http", SSE, b"tiny"),
        ("responses-stream.http", SSE, b"tiny"),
        ("completions-stream.http", SSE, b"tiny"),
    ],
)
@given(places=st.lists(st.integers(0, 10_000), max_size=12))
def test_the_clients_name_in_recorded_answers(
    recording: str, content_type: str, model: bytes, places: list[int]
) -> None:
    data = body_of(recording)
    assert b'"model":"' + model + b'"' in data
    reader = ResponseReader(content_type, restore=(model.decode(), "public"))
    assert pass_through(reader, cut(data, places)) == data.replace(
        b'"model":"' + model + b'"', b'"model":"public"'
    )
    assert reader.changes_length


@pytest.mark.parametrize(
    ("events", "expected", "cached"),
    [
        pytest.param(
            b'data:{"usage":{"prompt_tokens":5,"completion_tokens":2,'
            b'"prompt_tokens_details":{"cached_tokens":3}}}\r\n\r\ndata: [DONE]\r\n\r\n',
            (5, 2),
            3,
            id="no-blank-and-crlf",
        ),
        pytest.param(
            b'event: message_start\ndata: {"message":{"usage":{"input_tokens":24,'
            b'"cache_read_input_tokens":8}}}\n\n'
            b'event: message_delta\ndata: {"usage":{"output_tokens":8}}\n\n',
            (24, 8),
            8,
            id="anthropic-in-two-events",
        ),
        pytest.param(
            b'data: {"type":"response.completed","response":{"usage":{"input_tokens":"7",'
            b'"output_tokens":"9"}}}\n\n',
            (7, 9),
            None,
            id="responses-with-text-numbers",
        ),
        pytest.param(
            b'data: {"usage":{"prompt_tokens":1,"completion_tokens":2}}', (1, 2), None, id="no-end"
        ),
        pytest.param(
            b'data: {"usage":{"prompt_tokens":1}}\r\rdata: {"usage":{"completion_tokens":2}}\r\r',
            (1, 2),
            None,
            id="carriage-returns-alone",
        ),
        pytest.param(
            b'data: {"usage":{"prompt_tokens":1}}\n\ndata: {"usage":null}\n\n',
            (1, 0),
            None,
            id="null-changes-nothing",
        ),
        pytest.param(b'data: {"usage":null}\n\ndata: {"usage":{', None, None, id="none"),
        pytest.param(b': "usage":{"prompt_tokens":1}\n\n', None, None, id="comment"),
    ],
)
@given(places=st.lists(st.integers(0, 400), max_size=8))
def test_usage_of_other_streams(
    events: bytes, expected: tuple[int, int] | None, cached: int | None, places: list[int]
) -> None:
    reader = ResponseReader(SSE)
    assert pass_through(reader, cut(events, places)) == events
    assert counts(reader) == expected
    if reader.usage is not None:
        assert reader.usage.cached_tokens == cached


def test_an_end_without_bytes_counts() -> None:
    reader = ResponseReader(SSE)
    reader.feed(b'data: {"usage":{"prompt_tokens":1,"completion_tokens":2}}', False)
    reader.feed(b"", True)
    assert counts(reader) == (1, 2)


LONG = b'{"output":["' + b"x" * 700_000 + b'"],"usage":{"prompt_tokens":4},"user":null}'


@pytest.mark.parametrize(
    ("content_type", "data"),
    [
        pytest.param(JSON, LONG, id="document"),
        pytest.param(SSE, b"data: " + LONG + b"\n\n", id="event"),
        pytest.param(SSE, b"data: {}\n\ndata: " + LONG, id="last-event-without-an-end"),
        pytest.param(
            SSE,
            b"data: " + LONG + b'\n\ndata: {"usage":{"completion_tokens":0}}\n\n',
            id="short-event-behind",
        ),
    ],
)
@pytest.mark.parametrize("size", [1000, 65_536, 10_000_000])
def test_usage_is_found_behind_a_long_text(content_type: str, data: bytes, size: int) -> None:
    reader = ResponseReader(content_type)
    for start in range(0, len(data), size):
        reader.feed(data[start : start + size], False)
        assert len(reader._kept) <= MAX_KEPT_BYTES
    reader.feed(b"", True)
    assert counts(reader) == (4, 0)


def test_an_endless_line_is_not_kept() -> None:
    reader = ResponseReader(SSE)
    for _ in range(40):
        reader.feed(b"data: " + b"x" * 20_000, False)
    assert TAIL_BYTES <= len(reader._kept) <= MAX_KEPT_BYTES
    reader.feed(b'\ndata: {"usage":{"prompt_tokens":1}}\n', True)
    assert counts(reader) == (1, 0)


@pytest.mark.parametrize("content_type", ["application/x-ndjson", "text/plain", ""])
def test_other_responses_pass_at_once(content_type: str) -> None:
    reader = ResponseReader(content_type)
    line = b'{"usage":{"prompt_tokens":1}}\n'
    assert reader.feed(line, False) == line
    assert reader.feed(b"", True) == b""
    assert reader.usage is None


@pytest.mark.parametrize("content_type", [SSE, JSON])
def test_a_compressed_response_is_not_read(content_type: str) -> None:
    reader = ResponseReader(content_type, "gzip", ("target", "public-name"))
    data = b'data: {"model":"target","usage":{"prompt_tokens":1}}'
    assert reader.feed(data, True) == data
    assert not reader.changes_length
    assert reader.usage is None


@pytest.mark.parametrize("restore", [("same", "same"), ("", "public"), ("target", "")])
def test_nothing_to_restore(restore: tuple[str, str]) -> None:
    reader = ResponseReader(JSON, restore=restore)
    assert reader.feed(b'{"model":"', False) == b'{"model":"'
    assert not reader.changes_length
