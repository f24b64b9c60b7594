from __future__ import annotations

import pytest
from envoy.service.ext_proc.v3 import external_processor_pb2 as xds
from hypothesis import given
from hypothesis import strategies as st

from epp.extproc import body_messages
from epp.extproc.body_messages import REQUEST_BODY, RESPONSE_BODY

FIELDS = {REQUEST_BODY: "request_body", RESPONSE_BODY: "response_body"}
SIZES = st.sampled_from([0, 1, 3, 115, 127, 128, 16_383, 16_384, 62_000, 2_097_152])
DATA = st.binary(max_size=300) | SIZES.map(bytes)


@given(kind=st.sampled_from(list(FIELDS)), data=DATA, last=st.booleans())
def test_it_reads_what_another_codec_wrote(kind: int, data: bytes, last: bool) -> None:
    message = xds.ProcessingRequest()
    body = getattr(message, FIELDS[kind])
    body.SetInParent()
    body.body, body.end_of_stream = data, last
    assert body_messages.read(message.SerializeToString()) == (kind, data, last)


@given(kind=st.sampled_from(list(FIELDS)), data=DATA, last=st.booleans())
def test_another_codec_reads_what_it_wrote(kind: int, data: bytes, last: bool) -> None:
    expected = xds.ProcessingResponse()
    response = getattr(expected, FIELDS[kind]).response
    piece = response.body_mutation.streamed_response
    piece.SetInParent()
    piece.body, piece.end_of_stream = data, last
    written = body_messages.reply(kind, memoryview(data), end_of_stream=last)
    assert written == expected.SerializeToString()


def other_messages() -> list[bytes]:
    with_metadata, headers, unknown = (xds.ProcessingRequest() for _ in range(3))
    with_metadata.request_body.body = b"x"
    with_metadata.metadata_context.filter_metadata["a"].update({"b": "c"})
    headers.request_headers.end_of_stream = True
    unknown.response_body.body = b"x"
    unknown.response_body.MergeFromString(b"\x18\x01")  # a field of a later version
    return [message.SerializeToString() for message in (with_metadata, headers, unknown)]


@pytest.mark.parametrize(
    "message",
    [
        *other_messages(),
        b"",
        b"\x2a",
        b"\x2a\x80",
        b"\x2a\x80\x80\x80\x80\x01",
        b"\x2a\x05\x0a\x03abc"[:-1],
        b"\x2a\x03\x0a\x09a",
        b"\x2a\x02\x10\x02",
        b"\x22\x00\x22\x00",
    ],
)
def test_every_other_shape_is_left_to_the_generated_code(message: bytes) -> None:
    assert body_messages.read(message) is None


@given(
    st.binary(max_size=40), st.sampled_from([b"", b"\x22", b"\x2a", b"\x2a\x02", b"\x22\x04\x0a"])
)
def test_it_agrees_with_the_generated_code_or_leaves_it(noise: bytes, start: bytes) -> None:
    message = start + noise
    found = body_messages.read(message)
    if found is not None:
        kind, data, last = found
        body = getattr(xds.ProcessingRequest.FromString(message), FIELDS[kind])
        assert (data, last) == (body.body, body.end_of_stream)
