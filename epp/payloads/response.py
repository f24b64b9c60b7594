"""Read a response as it passes: token usage out of it, the client's model name back into it.

No chunk is delayed. Memory is bounded: the tail of a document, or one line of a stream.
"""

from __future__ import annotations

import json

import orjson

from epp.payloads.usage import Usage, find_report

DOCUMENT_TAIL_BYTES = 64 * 1024  # usage stands near the end of a document
MAX_LINE_BYTES = 256 * 1024
USAGE_KEY = b'"usage"'
DATA = b"data:"


class ResponseReader:
    """One response. Feed it every chunk; send on what it returns."""

    def __init__(
        self, content_type: str, content_encoding: str = "", restore: tuple[str, str] = ("", "")
    ) -> None:
        """`restore` is the name in the response and the name that the client knows."""
        kind = content_type.partition(";")[0].strip().lower()
        readable = content_encoding.lower() in ("", "identity")
        self.streaming = kind == "text/event-stream"
        self.usage: Usage | None = None
        self._reads_events = self.streaming and readable
        self._reads_document = kind == "application/json" and readable
        self._pending = b""  # the document's tail, or an unfinished line
        self._line_too_long = False
        target, incoming = restore
        renames = readable and bool(target and incoming) and target != incoming
        self._restorer = _Restorer(target, incoming) if renames else None

    @property
    def changes_length(self) -> bool:
        return self._restorer is not None and self._restorer.changes_length

    def feed(self, chunk: bytes, end: bool) -> bytes:
        if self._reads_events:
            self._read_events(chunk, end)
        elif self._reads_document:
            self._read_document(chunk, end)
        return chunk if self._restorer is None else self._restorer.feed(chunk, end)

    def _read_document(self, chunk: bytes, end: bool) -> None:
        self._pending = (self._pending + chunk)[-DOCUMENT_TAIL_BYTES:]
        if not end:
            return
        tail, self._pending = self._pending, b""
        if tail.startswith(b"{") and USAGE_KEY in tail:  # all of it is there
            self._read_event(tail)
            return
        at = tail.rfind(USAGE_KEY)
        brace = tail.find(b"{", at) if at >= 0 else -1
        if brace < 0 or tail[at + len(USAGE_KEY) : brace].strip(b" \t\r\n") != b":":
            return
        try:
            report, _ = json.JSONDecoder().raw_decode(tail[brace:].decode("utf-8", "replace"))
        except ValueError:
            return  # a cut document: its usage is unknown
        self.usage = Usage()
        self.usage.merge(report)

    def _read_events(self, chunk: bytes, end: bool) -> None:
        """Only whole lines are looked at, and parsed only if they can hold usage."""
        last = len(chunk) if end else chunk.rfind(b"\n") + 1
        if last == 0 and not end:
            if len(self._pending) + len(chunk) <= MAX_LINE_BYTES and not self._line_too_long:
                self._pending += chunk
            else:
                self._pending, self._line_too_long = b"", True
            return
        lines = self._pending + chunk[:last] if self._pending or last != len(chunk) else chunk
        if self._line_too_long:
            lines = lines.partition(b"\n")[2]
            self._line_too_long = False
        self._pending = chunk[last:]
        if USAGE_KEY in lines:
            for line in lines.splitlines():
                if line.startswith(DATA) and USAGE_KEY in line:
                    self._read_event(line[len(DATA) :])

    def _read_event(self, data: bytes) -> None:
        try:
            event = orjson.loads(data)
        except orjson.JSONDecodeError:
            return  # not ours to judge
        report = find_report(event) if isinstance(event, dict) else None
        if report is not None:
            self.usage = self.usage or Usage()
            self.usage.merge(report)


class _Restorer:
    """Replaces `"model":"target"` wherever it stands, also where chunk boundaries cut it.

    Holds back only bytes that can be the start of a match: less than one name. Inside a JSON string
    the quotes are escaped, so text that an assistant wrote never matches.
    """

    def __init__(self, target: str, incoming: str) -> None:
        old, new = orjson.dumps(target), orjson.dumps(incoming)
        self.changes_length = len(old) != len(new)
        self._pairs = [(b'"model":' + gap + old, b'"model":' + gap + new) for gap in (b"", b" ")]
        self._longest = max(len(old) for old, _ in self._pairs)
        self._held = b""

    def feed(self, chunk: bytes, end: bool) -> bytes:
        data = self._held + chunk
        for old, new in self._pairs:
            data = data.replace(old, new)
        cut = len(data) if end else self._safe_length(data)
        self._held = data[cut:]
        return data[:cut]

    def _safe_length(self, data: bytes) -> int:
        """Up to where no match can begin that later bytes would complete."""
        at = data.find(b'"', max(0, len(data) - self._longest + 1))
        while at >= 0:
            rest = data[at:]
            if any(old.startswith(rest) for old, _ in self._pairs):
                return at
            at = data.find(b'"', at + 1)
        return len(data)
