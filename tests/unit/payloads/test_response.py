from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epp.payloads.response import DOCUMENT_TAIL_BYTES, ResponseReader

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
        pytest.param(b'data: {"usage":null}\n\ndata: {"usage":{', None, None, id="none"),
    ],
)
@given(places=st.lists(st.integers(0, 400), max_size=8))
def test_usage_of_other_streams(
    events: bytes, expected: tuple[int, int] | None, cached: int | None, places: list[int]
) -> None:
    reader = ResponseReader(SSE)
    pass_through(reader, cut(events, places))
    assert counts(reader) == expected
    if reader.usage is not None:
        assert reader.usage.cached_tokens == cached


def test_an_event_without_a_last_newline_counts() -> None:
    reader = ResponseReader(SSE)
    reader.feed(b'data: {"usage":{"prompt_tokens":1,"completion_tokens":2}}', False)
    reader.feed(b"", True)
    assert counts(reader) == (1, 2)


def test_usage_is_found_behind_a_long_document() -> None:
    data = b'{"choices":["' + b"x" * 300_000 + b'"],"usage":{"prompt_tokens":4}}'
    reader = ResponseReader(JSON)
    for start in range(0, len(data), 1000):
        reader.feed(data[start : start + 1000], False)
        assert len(reader._pending) <= DOCUMENT_TAIL_BYTES
    reader.feed(b"", True)
    assert counts(reader) == (4, 0)


def test_text_that_speaks_of_usage_is_no_report() -> None:
    reader = ResponseReader(JSON)
    reader.feed(b'{"content":"\\"usage\\":{\\"prompt_tokens\\":9}"}', True)
    assert reader.usage is None


def test_an_endless_line_is_not_kept() -> None:
    reader = ResponseReader(SSE)
    for _ in range(40):
        reader.feed(b"data: " + b"x" * 20_000, False)
    assert len(reader._pending) < 300_000
    reader.feed(b'\ndata: {"usage":{"prompt_tokens":1}}\n', True)
    assert counts(reader) == (1, 0)


@pytest.mark.parametrize("content_type", ["application/x-ndjson", "text/plain", ""])
def test_other_responses_pass_at_once(content_type: str) -> None:
    reader = ResponseReader(content_type)
    assert reader.feed(b'{"usage":{"prompt_tokens":1}}\n', False) != b""
    assert reader.usage is None


def test_a_compressed_response_is_not_read() -> None:
    reader = ResponseReader(JSON, "gzip", ("target", "public"))
    assert reader.feed(b'"model":"target"', True) == b'"model":"target"'
    assert not reader.changes_length


@pytest.mark.parametrize("gap", [b"", b" "])
@given(places=st.lists(st.integers(0, 200), max_size=10))
def test_the_clients_model_name_is_restored_wherever_it_is_cut(
    gap: bytes, places: list[int]
) -> None:
    target, public = "internal/long-name", "chat"
    line = b'data: {"id":1,"model":' + gap + b'"%s","x":"model"}\n\n'
    sent, expected = line % target.encode() * 3, line % public.encode() * 3
    reader = ResponseReader(SSE, restore=(target, public))
    assert pass_through(reader, cut(sent, places)) == expected
    assert reader.changes_length


def test_only_the_start_of_a_name_is_held_back() -> None:
    reader = ResponseReader(SSE, restore=("target", "public"))
    assert reader.feed(b'data: {"a":1,"mod', False) == b'data: {"a":1,'
    assert reader.feed(b'e":1}\n\n', False) == b'"mode":1}\n\n'


def test_equal_names_restore_nothing() -> None:
    assert not ResponseReader(JSON, restore=("same", "same")).changes_length
