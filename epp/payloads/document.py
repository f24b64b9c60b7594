"""Decode a JSON object as leniently as the engines do: only what is no object is refused."""

from __future__ import annotations

import json
from typing import Any, Final

import orjson

from epp.core.refusal import Reason, Refused
from epp.payloads.toplevel import BOM, Member, NotAnObject, members

# Python refuses to convert some thousand; nobody calculates with those.
MAX_NUMBER_DIGITS: Final = 400


def load_object(body: bytes) -> dict[str, Any]:
    """Raises Refused with the place of the error.

    Big numbers, lone surrogates, bytes that are not UTF-8 and a byte order mark are the engine's
    business. A member's value that is nested too deep for a parser stays as its bytes, which is
    the only way for bytes to appear in the document.
    """
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        document = _load_leniently(body)
    if not isinstance(document, dict):
        raise _malformed("not a JSON object")
    return document


def load_scalars(body: bytes) -> tuple[dict[str, Any], bool]:
    """The top-level strings, numbers and literals, as far as the body can be read.

    Objects and arrays are None. The flag says whether the body is an object to its end.
    """
    found: dict[str, Any] = {}
    try:
        for member in members(body):
            key = str(_parse(member.key))
            nested = body[member.start] in b"{["
            found[key] = None if nested else _parse(body[member.start : member.stop])
    except (NotAnObject, json.JSONDecodeError):
        return found, False
    return found, True


def dump_json(value: Any) -> bytes:
    """Compact JSON of a part of a document; equal values give equal bytes.

    Empty for a value that is nested too deep to be written.
    """
    if isinstance(value, bytes):
        return value
    try:
        return orjson.dumps(value)
    except TypeError:  # a number or text that orjson does not write, or nesting beyond its limit
        pass
    try:
        return json.dumps(value, separators=(",", ":")).encode()
    except RecursionError:
        return b""


def dump_name(name: str) -> bytes:
    """A name as a JSON string. What no UTF-8 can carry becomes a question mark."""
    return orjson.dumps(name.encode("utf-8", "replace").decode())


def _load_leniently(body: bytes) -> object:
    try:
        return _parse(body.removeprefix(BOM))
    except RecursionError:
        pass
    except json.JSONDecodeError as error:
        raise _malformed(f"{error.msg} at character {error.pos}") from None
    try:
        return dict(_decode(body, member) for member in members(body))
    except NotAnObject as error:
        raise _malformed(f"invalid at byte {error.position}") from None
    except json.JSONDecodeError as error:
        raise _malformed(error.msg) from None


def _decode(body: bytes, member: Member) -> tuple[str, Any]:
    """Raises json.JSONDecodeError."""
    raw = body[member.start : member.stop]
    try:
        return str(_parse(member.key)), _parse(raw)
    except RecursionError:
        return str(_parse(member.key)), raw


def _parse(raw: bytes) -> object:
    return json.loads(raw.decode("utf-8", "replace"), parse_int=_whole)


def _whole(digits: str) -> int | str:
    return int(digits) if len(digits) < MAX_NUMBER_DIGITS else digits


def _malformed(detail: str) -> Refused:
    return Refused(Reason.BAD_REQUEST, f"error unmarshaling request bodyMap: {detail}")
