from __future__ import annotations

import pytest
from envoy.config.core.v3 import base_pb2 as core
from envoy.service.ext_proc.v3 import external_processor_pb2 as xds
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from epp.extproc import header_messages
from epp.extproc.header_messages import (
    KEPT_HEADER_BYTES,
    KEPT_HEADERS,
    KEPT_NAMES,
    REQUEST_HEADERS,
    RESPONSE_HEADERS,
)

FIELDS = {REQUEST_HEADERS: "request_headers", RESPONSE_HEADERS: "response_headers"}
NAMES = st.sampled_from([":path", "X-Request-Id", "a", "x" * 65]) | st.text(max_size=200)
HEADERS = st.lists(
    st.builds(
        core.HeaderValue,
        key=NAMES,
        value=st.just("") | st.text(max_size=20),
        raw_value=st.just(b"") | st.binary(max_size=300),
    ),
    max_size=8,
)


def expected_headers(headers: list[core.HeaderValue]) -> dict[str, str]:
    found: dict[str, str] = {}
    for header in headers:
        text = header.raw_value.decode("utf-8", "replace") or header.value
        found.setdefault(header.key.lower(), text)
    return found


@given(
    kind=st.sampled_from(list(FIELDS)),
    headers=HEADERS,
    last=st.booleans(),
    mode=st.none() | st.integers(0, 4),
    hint=st.none() | st.text(max_size=200),
)
def test_it_reads_what_another_codec_wrote(
    kind: int, headers: list[core.HeaderValue], last: bool, mode: int | None, hint: str | None
) -> None:
    message, beside = xds.ProcessingRequest(), xds.ProcessingRequest()
    head = getattr(message, FIELDS[kind])
    head.SetInParent()
    head.headers.headers.extend(headers)
    head.end_of_stream = last
    if mode is not None:
        beside.protocol_config.request_body_mode = mode  # type: ignore[assignment]
    if hint is not None:
        beside.metadata_context.filter_metadata["a"].update({"b": hint})
        beside.attributes["c"].update({"d": 1})
    message.MergeFrom(beside)
    found = header_messages.read(message.SerializeToString())
    assert found is not None
    assert found == header_messages.read(message.SerializeToString())
    assert found[:3] == (kind, expected_headers(headers), last)
    assert xds.ProcessingRequest.FromString(found[3]) == beside


def test_names_are_kept_within_a_bound() -> None:
    for number in range(3 * KEPT_NAMES):
        header = core.HeaderValue(key=f"X-{number}", raw_value=b"v")
        message = xds.ProcessingRequest()
        message.request_headers.headers.headers.append(header)
        found = header_messages.read(message.SerializeToString())
        assert found is not None
        assert found[1] == {f"x-{number}": "v"}
    assert len(header_messages._LOWERED) <= KEPT_NAMES
    assert len(header_messages._READ) <= KEPT_HEADERS


def test_what_is_kept_of_headers_is_no_secret_and_not_large() -> None:
    header_messages._READ.clear()
    message = xds.ProcessingRequest()
    for name, value in [
        ("Authorization", "Bearer s3cret"),
        ("cookie", "s3cret"),
        ("x-request-id", "r-1"),
        ("x-long", "v" * KEPT_HEADER_BYTES),
        (":path", "/v1/completions"),
    ]:
        message.request_headers.headers.headers.add(key=name, raw_value=value.encode())
    first, again = (header_messages.read(message.SerializeToString()) for _ in range(2))
    assert first == again
    assert list(header_messages._READ.values()) == [(":path", "/v1/completions")]


def other_messages() -> dict[str, bytes]:
    body, observed, unknown, again, two = (xds.ProcessingRequest() for _ in range(5))
    body.request_body.body = b"x"
    observed.request_headers.SetInParent()
    observed.observability_mode = True
    unknown.request_headers.MergeFromString(b"\x22\x01x")  # a field of a later version
    again.request_headers.end_of_stream = True
    two.request_trailers.SetInParent()
    return {
        "a body": body.SerializeToString(),
        "observed": observed.SerializeToString(),
        "unknown in HttpHeaders": unknown.SerializeToString(),
        "unknown in HeaderValue": bytes.fromhex("1206 0a04 0a02 2000"),
        "twice": again.SerializeToString() * 2,
        "two of the oneof": again.SerializeToString() + two.SerializeToString(),
        "end of stream 2": bytes.fromhex("1202 1802"),
        "nothing": b"",
        "a tag alone": b"\x12",
        "cut in the map": bytes.fromhex("1203 0a05 0a"),
        "longer than its map": bytes.fromhex("1204 0a01 0a02 0000"),
        "a value that is no UTF-8": bytes.fromhex("1208 0a06 0a04 0a00 1201 ff")[:11],
        "a name that is no UTF-8": bytes.fromhex("1207 0a05 0a03 0a01 ff"),
    }


@pytest.mark.parametrize("message", [pytest.param(m, id=n) for n, m in other_messages().items()])
def test_every_other_shape_is_left_to_the_generated_code(message: bytes) -> None:
    assert header_messages.read(message) is None


@given(
    st.binary(max_size=40),
    st.sampled_from([b"", b"\x12", b"\x1a\x05", b"\x12\x06\x0a\x04\x0a\x02", b"\x1a\x02\x18"]),
)
def test_it_agrees_with_the_generated_code_or_leaves_it(noise: bytes, start: bytes) -> None:
    found = header_messages.read(start + noise)
    if found is None:
        return
    kind, headers, last, beside = found
    try:
        message = xds.ProcessingRequest.FromString(start + noise)
    except DecodeError:
        # What stands beside is for the generated code to judge.
        with pytest.raises(DecodeError):
            xds.ProcessingRequest.FromString(beside)
        return
    head = getattr(message, FIELDS[kind])
    assert headers == expected_headers(list(head.headers.headers))
    assert last == head.end_of_stream
