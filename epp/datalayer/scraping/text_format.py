"""The lines of the Prometheus text format, as bytes: labels, escapes, and numbers to be trusted."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

# What follows the name: labels, value, and a timestamp or exemplar that nobody needs. Possessive,
# so that no line can make it backtrack.
_REST = re.compile(
    rb'(?:\{((?:[^"{}]*+"(?:[^"\\]++|\\.)*+")*+[^"{}]*+)\})?+[ \t]++'
    rb"(?:([0-9.eE+-]++)|[^ \t\r]++)(?:[ \t]++[0-9.-]++)?+(?:[ \t]++#.*+)?+[ \t]*+\r?"
)
_LABEL = re.compile(
    rb'[ \t]*+([a-zA-Z_][a-zA-Z0-9_]*+)[ \t]*+=[ \t]*+"((?:[^"\\]++|\\.)*+)"[ \t]*+'
)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)

Sample = tuple[bytes | None, float | None]  # labels and value; None is unreadable
UNREADABLE: Sample = (None, None)


def read_sample(page: bytes, start: int, end: int) -> Sample:
    """The line from behind its name to its newline."""
    rest = _REST.fullmatch(page, start, end)
    return UNREADABLE if rest is None else (rest[1] or b"", read_number(rest[2]))


# The labels of a server hardly change from page to page, and cache_config_info has 35 of them.
@lru_cache(maxsize=2048)
def read_labels(text: bytes) -> Mapping[str, str] | None:
    """The labels between the braces, unescaped; None if that is not what the text is."""
    labels: dict[str, str] = {}
    position = 0
    while position < len(text):
        part = _LABEL.match(text, position)
        if part is None:
            return None if text[position:].strip() else MappingProxyType(labels)
        if text[part.end() : part.end() + 1] not in (b",", b""):
            return None
        labels[part[1].decode()] = unescape(part[2].decode(errors="replace"))
        position = part.end() + 1
    return MappingProxyType(labels)


def unescape(value: str) -> str:
    """A label value as meant: the format escapes backslash, quote and newline, nothing else."""
    return _ESCAPE.sub(_meant, value) if "\\" in value else value


def _meant(escape: re.Match[str]) -> str:
    char = escape[1]
    if char == "n":
        return "\n"
    return char if char in '\\"' else escape[0]


def read_number(text: bytes | None) -> float | None:
    """A usable value: no NaN, no infinity, nothing negative."""
    try:
        value = -1.0 if text is None else float(text)
    except ValueError:
        return None
    return value if 0 <= value < float("inf") else None


def read_count(text: str) -> int | None:
    """A whole number in a label; vLLM writes what is unset as the word None."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else None
