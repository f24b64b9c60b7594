"""Put the model name that the client knows back into a response, wherever chunks cut it."""

from __future__ import annotations

import json

from epp.payloads.document import dump_name


class ModelRestorer:
    """Replaces `"model":"target"`, compact or with one space, as it passes.

    Holds back only bytes that can be the start of a match: less than one match. Inside a JSON
    string the quotes are escaped, so text that an assistant wrote never matches.
    """

    def __init__(self, target: str, incoming: str) -> None:
        new = dump_name(incoming)
        # Servers write letters beyond ASCII as they are or escaped.
        spellings = dict.fromkeys((dump_name(target), json.dumps(target).encode()))
        self.changes_length = any(len(old) != len(new) for old in spellings)
        self._pairs = [
            (b'"model":' + gap + old, b'"model":' + gap + new)
            for old in spellings
            for gap in (b"", b" ")
        ]
        self._longest = max(len(old) for old, _ in self._pairs)
        self._held = b""

    def feed(self, chunk: bytes, end: bool) -> bytes:
        """The bytes to send on now."""
        data = self._held + chunk
        for old, new in self._pairs:
            data = data.replace(old, new)
        cut = len(data) if end else self._safe_length(data)
        self._held = data[cut:]
        return data[:cut]

    def _safe_length(self, data: bytes) -> int:
        """Up to where no match can begin that later bytes would complete."""
        if data.endswith(b"\n"):  # no match has a newline in it, and most events end so
            return len(data)
        at = data.find(b'"', max(0, len(data) - self._longest + 1))
        while at >= 0:
            rest = data[at:]
            if any(old.startswith(rest) for old, _ in self._pairs):
                return at
            at = data.find(b'"', at + 1)
        return len(data)
