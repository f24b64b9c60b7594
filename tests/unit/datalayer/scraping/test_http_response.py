from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epp.datalayer.scraping.http_response import (
    MAX_CHUNKS,
    MAX_HEAD_BYTES,
    MalformedResponse,
    Response,
    ResponseReader,
    ResponseTooLarge,
)

CAP = 1000
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


def read(*pieces: bytes, closed: bool = False) -> Response | None:
    """The response, and None if more would have to come."""
    reader = ResponseReader(CAP)
    for piece in pieces:
        if (response := reader.feed(piece)) is not None:
            return response
    return reader.end() if closed else None


def ok(body: bytes, *, keep_alive: bool = True) -> Response:
    return Response(200, body, keep_alive=keep_alive, whole=True)


CASES = [
    pytest.param(OK + b"Content-Length: 5\r\n\r\nhello", ok(b"hello"), id="length"),
    pytest.param(OK + b"content-length:0\r\n\r\n", ok(b""), id="nothing"),
    pytest.param(
        OK + b"Connection: close\r\nContent-Length: 2\r\n\r\nhi",
        ok(b"hi", keep_alive=False),
        id="closes",
    ),
    pytest.param(
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        ok(b"hi", keep_alive=False),
        id="http-1.0",
    ),
    pytest.param(CHUNKED + b"5\r\nhello\r\n0\r\n\r\n", ok(b"hello"), id="one-chunk"),
    pytest.param(
        CHUNKED + b'5;x="y"\r\nhello\r\n00A\r\n0123456789\r\n0\r\nX: y\r\n\r\n',
        ok(b"hello0123456789"),
        id="extensions-and-trailers",
    ),
    pytest.param(
        b"HTTP/1.1 204 No Content\r\nContent-Length: 9\r\n\r\n",
        Response(204, b"", keep_alive=True, whole=True),
        id="no-content",
    ),
    pytest.param(
        b"HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\nno",
        Response(404, b"no", keep_alive=True, whole=True),
        id="not-found",
    ),
    pytest.param(
        b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + OK + b"content-length: 1\r\n\r\nx",
        ok(b"x"),
        id="early-hints",
    ),
    pytest.param(b"HTTP/1.1 200\r\ncontent-length: 1\r\n\r\nx", ok(b"x"), id="no-reason"),
]


@pytest.mark.parametrize(("wire", "response"), CASES)
def test_a_response_however_it_is_cut(wire: bytes, response: Response) -> None:
    assert read(wire) == response
    assert read(*(wire[i : i + 1] for i in range(len(wire)))) == response
    for cut in range(len(wire)):
        assert read(wire[:cut], wire[cut:]) == response


@pytest.mark.parametrize(("wire", "response"), CASES)
def test_a_response_cut_off_is_none(wire: bytes, response: Response) -> None:
    for cut in range(len(wire)):
        assert read(wire[:cut], closed=True) is None


def test_a_body_without_framing_ends_with_the_connection() -> None:
    response = read(OK + b"\r\nab", b"cd", closed=True)
    assert response == Response(200, b"abcd", keep_alive=False, whole=False)


def test_bytes_behind_the_response_cost_the_connection() -> None:
    assert read(OK + b"content-length: 1\r\n\r\nxHTTP/1.1") == ok(b"x", keep_alive=False)
    assert read(CHUNKED + b"0\r\n\r\nHTTP/1.1") == ok(b"", keep_alive=False)


@pytest.mark.parametrize(
    "wire",
    [
        pytest.param(b"SSH-2.0-OpenSSH\r\n\r\n", id="another-protocol"),
        pytest.param(b"HTTP/2 200\r\n\r\n", id="another-version"),
        pytest.param(b"HTTP/1.1 2x0 OK\r\n\r\n", id="no-status"),
        pytest.param(b"HTTP/1.1 101 Switching\r\n\r\n", id="switched"),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n" * 9, id="interim-for-ever"),
        pytest.param(OK + b"no header\r\n\r\n", id="no-colon"),
        pytest.param(OK + b"a: b\r\n folded\r\n\r\n", id="folded"),
        pytest.param(OK + b"content-length : 5\r\n\r\n", id="space-before-colon"),
        pytest.param(OK + b"content-length: -5\r\n\r\n", id="negative-length"),
        pytest.param(OK + b"content-length: 5\r\ncontent-length: 6\r\n\r\n", id="two-lengths"),
        pytest.param(OK + b"transfer-encoding: gzip\r\n\r\n", id="coding"),
        pytest.param(OK + b"content-encoding: gzip\r\ncontent-length: 1\r\n\r\n", id="gzip"),
        pytest.param(OK + b"a: " + b"x" * MAX_HEAD_BYTES, id="endless-header"),
        pytest.param(b"\x16\x03\x01" * MAX_HEAD_BYTES, id="binary"),
        pytest.param(CHUNKED + b"xyz\r\n", id="no-chunk-size"),
        pytest.param(CHUNKED + b"-1\r\n", id="negative-chunk"),
        pytest.param(CHUNKED + b"1" * 9000, id="endless-chunk-line"),
        pytest.param(CHUNKED + b"1\r\nxyz", id="chunk-without-end"),
        pytest.param(CHUNKED + b"0\r\n" + b"a: b\r\n" * 9000, id="endless-trailers"),
    ],
)
def test_malformed(wire: bytes) -> None:
    with pytest.raises(MalformedResponse):
        read(wire)


@pytest.mark.parametrize(
    "wire",
    [
        pytest.param(OK + b"content-length: 1001\r\n\r\n", id="said-in-the-head"),
        pytest.param(CHUNKED + b"3e9\r\n", id="said-by-a-chunk"),
        pytest.param(CHUNKED + b"1f4\r\n" + b"x" * 500 + b"\r\n1f5\r\n", id="chunks-together"),
        pytest.param(OK + b"\r\n" + b"x" * 1001, id="until-close"),
    ],
)
def test_too_large_is_said_as_soon_as_it_is_known(wire: bytes) -> None:
    with pytest.raises(ResponseTooLarge):
        read(wire)


def test_thousands_of_tiny_chunks_are_refused() -> None:
    reader = ResponseReader(100 * MAX_CHUNKS)
    with pytest.raises(MalformedResponse, match="chunks"):
        reader.feed(CHUNKED + b"1\r\nx\r\n" * (MAX_CHUNKS + 1))


@given(st.lists(st.binary(max_size=60) | st.sampled_from([OK, CHUNKED, b"\r\n", b"5\r\n"])))
def test_no_bytes_do_more_than_fail(pieces: list[bytes]) -> None:
    try:
        response = read(*pieces, closed=True)
    except (MalformedResponse, ResponseTooLarge):
        return
    assert response is None or len(response.body) <= CAP
