from __future__ import annotations

import pytest
from hpack.exceptions import HPACKDecodingError
from hpack.huffman import HuffmanEncoder
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH
from hpack.huffman_table import decode_huffman
from hypothesis import given
from hypothesis import strategies as st

from epp.extproc.transport.http2.huffman import NotHuffman, decode

ENCODER = HuffmanEncoder(REQUEST_CODES, REQUEST_CODES_LENGTH)


@given(st.binary(max_size=300) | st.text("0123456789abcdef-", max_size=60).map(str.encode))
def test_it_reads_what_another_encoder_wrote(text: bytes) -> None:
    assert decode(ENCODER.encode(text)) == text


@pytest.mark.parametrize("octet", range(256))
def test_every_octet(octet: int) -> None:
    text = bytes((octet,))
    assert decode(ENCODER.encode(text)) == text
    assert decode(ENCODER.encode(b"a" + text * 3)) == b"a" + text * 3


@pytest.mark.parametrize(
    "coded",
    [
        pytest.param(b"\x00", id="padding of zeros"),
        pytest.param(b"\x1f\xff", id="an octet of padding"),
        pytest.param(b"\xff", id="nothing but padding"),
        pytest.param(b"\xff\xff\xff\xff", id="the code for the end"),
        pytest.param(b"\xff\xff", id="half a code"),
    ],
)
def test_what_is_no_huffman_code(coded: bytes) -> None:
    with pytest.raises(NotHuffman):
        decode(coded)


@given(st.binary(max_size=12))
def test_it_agrees_with_another_decoder(coded: bytes) -> None:
    try:
        expected = decode_huffman(coded)
    except HPACKDecodingError:
        with pytest.raises(NotHuffman):
            decode(coded)
    else:
        assert decode(coded) == expected
