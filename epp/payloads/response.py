"""Read a response as it passes: token usage out of it, the client's model name back into it.

No chunk is delayed. Memory is bounded: the end of a document, or of one line of a stream.
"""

from __future__ import annotations

from typing import Final

from epp.payloads.restoring import ModelRestorer
from epp.payloads.usage import USAGE_KEY, Usage, find_report

# Kept of a document or line that is too long; usage stands near its end.
TAIL_BYTES: Final = 64 * 1024
MAX_KEPT_BYTES: Final = 4 * TAIL_BYTES
DATA: Final = b"data:"


class ResponseReader:
    """One response. Feed it every chunk; send on what it returns."""

    def __init__(
        self, content_type: str, content_encoding: str = "", restore: tuple[str, str] = ("", "")
    ) -> None:
        """`restore` is the name in the response and the name that the client knows."""
        kind = content_type.partition(";")[0].strip().lower()
        readable = content_encoding.strip().lower() in ("", "identity")
        self.streaming = kind == "text/event-stream"
        self.usage: Usage | None = None
        self._reads_events = self.streaming and readable
        self._reads_document = kind == "application/json" and readable
        self._kept = bytearray()  # the document so far, or an unfinished line
        self._whole = True  # false once the start of what is kept was dropped
        target, incoming = restore
        renames = readable and bool(target and incoming) and target != incoming
        self._restorer = ModelRestorer(target, incoming) if renames else None

    @property
    def changes_length(self) -> bool:
        """Whether a content-length that the server announced would be wrong."""
        return self._restorer is not None and self._restorer.changes_length

    def feed(self, chunk: bytes, end: bool) -> bytes:
        if self._reads_events:
            self._read_events(chunk, end)
        elif self._reads_document:
            self._keep(chunk)
            if end:
                self._read(bytes(self._kept))
        return chunk if self._restorer is None else self._restorer.feed(chunk, end)

    def _read_events(self, chunk: bytes, end: bool) -> None:
        """Only whole lines are looked at, and parsed only if they can hold usage."""
        if self._kept or not self._whole:
            head, newline, chunk = chunk.partition(b"\n")
            self._keep(head)
            if not newline and not end:
                return
            self._read_lines(bytes(self._kept))
            self._kept.clear()
            self._whole = True
        last = len(chunk) if end else chunk.rfind(b"\n") + 1
        if USAGE_KEY in chunk:
            self._read_lines(chunk[:last])
        if last < len(chunk):
            self._keep(chunk[last:])

    def _read_lines(self, lines: bytes) -> None:
        if USAGE_KEY not in lines:
            return
        for line in lines.splitlines():
            if line.startswith(DATA):
                self._read(line[len(DATA) :])
            elif not self._whole:
                self._read(line)

    def _read(self, document: bytes) -> None:
        report = find_report(document)
        if report is not None:
            self.usage = self.usage or Usage()
            self.usage.merge(report)

    def _keep(self, data: bytes) -> None:
        self._kept += data
        if len(self._kept) > MAX_KEPT_BYTES:
            del self._kept[:-TAIL_BYTES]
            self._whole = False
