"""How names of fields are spelled in YAML."""

from __future__ import annotations

from typing import Final

EXCEPTIONS: Final = {"eviction_ttl_seconds": "evictionTtlSeconds"}
ACRONYMS: Final = {"ttl": "TTL", "ttft": "TTFT"}


def to_camel(name: str) -> str:
    """`default_request_ttl` is `defaultRequestTTL`."""
    if name in EXCEPTIONS:
        return EXCEPTIONS[name]
    first, *rest = name.split("_")
    return first + "".join(ACRONYMS.get(word, word.capitalize()) for word in rest)
