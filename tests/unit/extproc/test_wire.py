from __future__ import annotations

import pytest
from google.protobuf.internal.decoder import _DecodeVarint  # type: ignore[attr-defined]
from google.protobuf.wrappers_pb2 import BytesValue
from hypothesis import given
from hypothesis import strategies as st

from epp.extproc.wire import field, read_varint, varint

EDGES = st.sampled_from([0, 1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152, 268_435_455])


@given(value=EDGES | st.integers(0, 268_435_455))
def test_varints_are_those_of_protobuf(value: int) -> None:
    written = varint(value)
    assert _DecodeVarint(written, 0) == (value, len(written))
    assert read_varint(b"\xff" + written + b"\x01", 1) == (value, len(written) + 1)


@pytest.mark.parametrize("size", [0, 1, 127, 128, 2047, 2048, 16_383, 16_384, 3_000_000])
def test_a_field_is_that_of_protobuf(size: int) -> None:
    data = bytes(size)
    expected = BytesValue(value=data)
    assert BytesValue.FromString(field(b"\x0a", data)) == expected
    if size:  # an empty one is left out there
        assert field(b"\x0a", data) == expected.SerializeToString()


@pytest.mark.parametrize("cut", [b"", b"\x80", b"\x80\x80\x80\x80\x01"])
def test_a_number_that_is_cut_or_too_long(cut: bytes) -> None:
    with pytest.raises(IndexError):
        read_varint(cut, 0)
