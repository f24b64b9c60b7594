"""Reads one HTTP/1.1 response from bytes as they come. No I/O; memory and work are capped."""

from __future__ import annotations

import enum
from dataclasses import dataclass

MAX_HEAD_BYTES = 16 * 1024
MAX_INTERIM_HEADS = 4
MAX_CHUNKS = 4096  # servers send a page in a few; thousands of tiny ones would only cost time
MAX_CHUNK_LINE_BYTES = 1024
NO_BODY = frozenset((204, 304))


class MalformedResponse(Exception):
    """What came is no HTTP/1.1 response that a metrics page could have."""


class ResponseTooLarge(Exception):
    """The body is, or is going to be, above the cap."""


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    body: bytes
    keep_alive: bool  # the connection can carry another request
    whole: bool  # the framing vouches that nothing is missing at the end of the body


class _Stage(enum.Enum):
    HEAD = enum.auto()
    LENGTH = enum.auto()  # a body of known length
    CHUNK_LINE = enum.auto()
    CHUNK = enum.auto()  # the data of a chunk and the line end behind it
    TRAILERS = enum.auto()
    UNTIL_CLOSE = enum.auto()


class ResponseReader:
    """One per response. Feed it until it returns the response or raises."""

    def __init__(self, max_body_bytes: int) -> None:
        self._max_body_bytes = max_body_bytes
        self._stage = _Stage.HEAD
        self._pending = bytearray()  # come and not yet understood
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._missing = 0  # bytes until the end of the body, or of the chunk
        self._chunks = 0
        self._trailer_bytes = 0
        self._status = 0
        self._keep_alive = False

    def feed(self, data: bytes) -> Response | None:
        """Raises MalformedResponse or ResponseTooLarge."""
        if self._stage is _Stage.LENGTH:
            return self._take_length(data)
        if self._stage is _Stage.UNTIL_CLOSE:
            self._keep(data)
            return None
        self._pending += data
        if self._stage is _Stage.HEAD:
            return self._take_head()
        return self._take_chunks()

    def end(self) -> Response | None:
        """The server closed. A body without framing ends so; anything else is cut off: None."""
        if self._stage is not _Stage.UNTIL_CLOSE:
            return None
        return Response(self._status, b"".join(self._body), keep_alive=False, whole=False)

    def _take_head(self) -> Response | None:
        for _ in range(MAX_INTERIM_HEADS + 1):
            end = self._pending.find(b"\r\n\r\n")
            if end > MAX_HEAD_BYTES or (end < 0 and len(self._pending) > MAX_HEAD_BYTES):
                raise MalformedResponse(f"more than {MAX_HEAD_BYTES} bytes of headers")
            if end < 0:
                return None
            head, rest = bytes(self._pending[:end]), bytes(self._pending[end + 4 :])
            self._pending.clear()
            if not self._read_head(head):  # interim, another head follows
                self._pending += rest
                continue
            if self._stage is _Stage.CHUNK_LINE:
                self._pending += rest
                return self._take_chunks()
            if self._stage is _Stage.UNTIL_CLOSE:
                self._keep(rest)
                return None
            return self._take_length(rest)
        raise MalformedResponse("one interim head after another")

    def _read_head(self, head: bytes) -> bool:
        """Whether this is the head of the response and not of an interim one such as 103."""
        lines = head.split(b"\r\n")
        version, _, rest = lines[0].partition(b" ")
        code = rest[:3]
        if version not in (b"HTTP/1.1", b"HTTP/1.0") or not code.isdigit() or len(code) != 3:
            raise MalformedResponse(f"no status line: {bytes(lines[0][:60])!r}")
        status = int(code)
        if 100 <= status < 200:
            if status == 101:
                raise MalformedResponse("the server switched protocols")
            return False
        self._status = status
        self._keep_alive = version == b"HTTP/1.1"
        self._read_framing(lines[1:])
        return True

    def _read_framing(self, lines: list[bytes]) -> None:
        length: bytes | None = None
        coding = b""
        for line in lines:
            name, colon, value = line.partition(b":")
            if not colon or not name or name[0] in b" \t" or name[-1] in b" \t":
                raise MalformedResponse(f"no header: {bytes(line[:60])!r}")
            match name.lower():
                case b"content-length":
                    if length is not None and length != value.strip():
                        raise MalformedResponse("two content lengths")
                    length = value.strip()
                case b"transfer-encoding":
                    coding += value.strip().lower()
                case b"connection":
                    self._keep_alive &= b"close" not in value.lower()
                case b"content-encoding" if value.strip().lower() not in (b"", b"identity"):
                    raise MalformedResponse("a compressed page was not asked for")
                case _:
                    pass
        self._choose_stage(length, coding)

    def _choose_stage(self, length: bytes | None, coding: bytes) -> None:
        if self._status in NO_BODY:
            self._stage, self._missing = _Stage.LENGTH, 0
        elif coding:
            if coding != b"chunked":
                raise MalformedResponse(f"transfer coding {coding[:60]!r}")
            self._stage = _Stage.CHUNK_LINE
        elif length is None:
            self._stage = _Stage.UNTIL_CLOSE
        elif not length.isdigit() or len(length) > 18:
            raise MalformedResponse(f"content length {length[:60]!r}")
        else:
            self._stage, self._missing = _Stage.LENGTH, int(length)
            if self._missing > self._max_body_bytes:
                raise ResponseTooLarge(f"{self._missing} bytes")

    def _take_length(self, data: bytes) -> Response | None:
        extra = len(data) > self._missing
        self._keep(data[: self._missing] if extra else data)
        self._missing -= min(len(data), self._missing)
        return self._response(extra=extra) if self._missing == 0 else None

    def _take_chunks(self) -> Response | None:
        position = 0  # of what is understood; cut off once, since every cut moves the rest
        try:
            while True:
                if self._stage is _Stage.CHUNK:
                    if len(self._pending) - position < self._missing:
                        return None
                    position = self._take_chunk(position)
                    continue
                end = self._pending.find(b"\r\n", position)
                if end < 0:
                    if len(self._pending) - position > MAX_CHUNK_LINE_BYTES:
                        raise MalformedResponse("an endless line between chunks")
                    return None
                line = bytes(self._pending[position:end])
                position = end + 2
                if self._stage is _Stage.CHUNK_LINE:
                    self._read_chunk_line(line)
                elif not line:
                    return self._response(extra=position < len(self._pending))
                else:
                    self._trailer_bytes += len(line)
                    if self._trailer_bytes > MAX_HEAD_BYTES:
                        raise MalformedResponse(f"more than {MAX_HEAD_BYTES} bytes of trailers")
        finally:
            del self._pending[:position]

    def _take_chunk(self, position: int) -> int:
        end = position + self._missing
        if self._pending[end - 2 : end] != b"\r\n":
            raise MalformedResponse("a chunk does not end where it says")
        self._keep(bytes(self._pending[position : end - 2]))
        self._stage = _Stage.CHUNK_LINE
        return end

    def _read_chunk_line(self, line: bytes) -> None:
        size = line.partition(b";")[0].strip()
        self._chunks += 1
        if not size or len(size) > 15 or size.strip(b"0123456789abcdefABCDEF"):
            raise MalformedResponse(f"no chunk size: {line[:60]!r}")
        if self._chunks > MAX_CHUNKS:
            raise MalformedResponse(f"more than {MAX_CHUNKS} chunks")
        length = int(size, 16)
        if self._body_bytes + length > self._max_body_bytes:
            raise ResponseTooLarge(f"more than {self._max_body_bytes} bytes")
        self._missing = length + 2
        self._stage = _Stage.CHUNK if length else _Stage.TRAILERS

    def _keep(self, data: bytes) -> None:
        self._body_bytes += len(data)
        if self._body_bytes > self._max_body_bytes:
            raise ResponseTooLarge(f"more than {self._max_body_bytes} bytes")
        if data:
            self._body.append(data)

    def _response(self, *, extra: bool) -> Response:
        """`extra`: more came than the response has, so the connection is not to be trusted."""
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        return Response(self._status, body, self._keep_alive and not extra, whole=True)
