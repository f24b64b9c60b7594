"""Decode a JSON object as leniently as the engines do: only what is no object is refused."""

from __future__ import annotations

import json
from typing import Any

import orjson

from epp.core.refusal import Reason, Refused
from epp.payloads.toplevel import BOM, NotAnObject, members

# Values of top-level members that are too deep or odd to be built are left out; nothing reads them.
MAX_SHALLOW_VALUE_BYTES = 4096


def load_object(body: bytes) -> dict[str, Any]:
    """Raises Refused with the place of the error.

    Big numbers, lone surrogates, bytes that are not UTF-8 and a byte order mark are the engine's
    business. Nesting too deep for a parser yields only the shallow members.
    """
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        document = _load_leniently(body)
    if not isinstance(document, dict):
        raise Refused(Reason.BAD_REQUEST, "request body is not a JSON object")
    return document


def _load_leniently(body: bytes) -> object:
    text = body.removeprefix(BOM).decode("utf-8", "replace")
    try:
        return json.loads(text, parse_int=_whole)
    except RecursionError:
        return _load_shallow(body)
    except json.JSONDecodeError as error:
        detail = f"error unmarshaling request body: {error.msg} at character {error.pos}"
        raise Refused(Reason.BAD_REQUEST, detail) from None


def _whole(digits: str) -> int | str:
    """Python refuses to convert more than a few thousand digits; nobody calculates with those."""
    return int(digits) if len(digits) < 400 else digits


def _load_shallow(body: bytes) -> dict[str, Any]:
    found: dict[str, Any] = {}
    try:
        for member in members(body):
            raw = body[member.start : member.stop]
            key = json.loads(member.key.decode("utf-8", "replace"))
            if len(raw) > MAX_SHALLOW_VALUE_BYTES or raw[:1] in (b"{", b"["):
                found[key] = raw
            else:
                found[key] = json.loads(raw.decode("utf-8", "replace"))
    except NotAnObject as error:
        detail = f"error unmarshaling request body: invalid at byte {error.position}"
        raise Refused(Reason.BAD_REQUEST, detail) from None
    except json.JSONDecodeError as error:
        detail = f"error unmarshaling request body: {error.msg}"
        raise Refused(Reason.BAD_REQUEST, detail) from None
    return found
