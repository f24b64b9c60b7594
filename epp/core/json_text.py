"""JSON for logs and pages: what one value is must not cost the whole line."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import orjson


def dumps(value: Any, default: Callable[[Any], Any] | None = None) -> bytes:
    """Numbers beyond 64 bits and lone surrogates are written, too.

    `default` gives another form to what JSON has none for. Raises TypeError where it is missing.
    """
    try:
        return orjson.dumps(value, default=default)
    except TypeError:  # the standard library is slower, and takes them
        return json.dumps(value, default=default, separators=(",", ":")).encode()
