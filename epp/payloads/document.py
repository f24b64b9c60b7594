"""Decode a JSON object as leniently as the engines do: only what is no object is refused.

And what is too much: a value costs a hundred times what as many bytes of text cost, and while one
body is read every other request waits.
"""

from __future__ import annotations

import json
from typing import Any, Final

import orjson

from epp.core.refusal import Reason, Refused
from epp.payloads.outline import has_more
from epp.payloads.toplevel import BOM, Member, NotAnObject, TooIntricate, members

# Objects, lists and members of objects. A chat of ten thousand messages has a quarter of it.
PARTS: Final = b"[{:"
MAX_PARTS: Final = 200_000
# They are counted from this size on: a smaller body is soon read, whatever it has.
COUNTED_BYTES: Final = 1 << 20
# Values in a body that the strict parser refuses: the lenient ones take several times as long.
MAX_LENIENT_VALUES: Final = 100_000
# Python refuses to convert some thousand; nobody calculates with those.
MAX_NUMBER_DIGITS: Final = 400


def load_object(body: bytes) -> dict[str, Any]:
    """Raises Refused with the place of the error.

    Big numbers, lone surrogates, bytes that are not UTF-8 and a byte order mark are the engine's
    business. A member's value that is nested too deep for a parser stays as its bytes, which is
    the only way for bytes to appear in the document.
    """
    if len(body) > COUNTED_BYTES and has_more(body, PARTS, MAX_PARTS):
        raise _malformed(f"more than {MAX_PARTS} objects, lists and members")
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        document = _load_leniently(body, error)
    if not isinstance(document, dict):
        raise _malformed("not a JSON object")
    return document


def load_strictly(body: bytes) -> dict[str, Any] | None:
    """None for what is no JSON object of ordinary size in the strict sense."""
    if len(body) > COUNTED_BYTES and has_more(body, PARTS, MAX_PARTS):
        return None
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return document if isinstance(document, dict) else None


def load_scalars(body: bytes, *, complete: bool = True) -> tuple[dict[str, Any], bool]:
    """The top-level strings, numbers and literals, as far as the body can be read.

    Objects and arrays are None. The flag says whether the body is an object to its end. Raises
    Refused where a complete one has too much to look at: there may be a model in what is left.
    """
    found: dict[str, Any] = {}
    try:
        for member in members(body):
            key = str(_parse(member.key))
            nested = body[member.start] in b"{["
            found[key] = None if nested else _parse(body[member.start : member.stop])
    except TooIntricate as error:
        if complete:
            raise _intricate(error) from None
        return found, False
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


def _load_leniently(body: bytes, strictly: orjson.JSONDecodeError) -> object:
    if has_more(body, b",", MAX_LENIENT_VALUES):
        raise _malformed(f"{strictly}, in a body of more than {MAX_LENIENT_VALUES} values")
    try:
        return _parse(body.removeprefix(BOM))
    except RecursionError:
        pass
    except json.JSONDecodeError as error:
        raise _malformed(f"{error.msg} at character {error.pos}") from None
    try:
        return dict(_decode(body, member) for member in members(body))
    except TooIntricate as intricate:
        raise _intricate(intricate) from None
    except NotAnObject as no_object:
        raise _malformed(f"invalid at byte {no_object.position}") from None
    except json.JSONDecodeError as flawed:
        raise _malformed(flawed.msg) from None


def _decode(body: bytes, member: Member) -> tuple[str, Any]:
    """Raises json.JSONDecodeError."""
    raw = body[member.start : member.stop]
    try:
        return str(_parse(member.key)), _parse(raw)
    except RecursionError:
        return str(_parse(member.key)), raw


def _parse(raw: bytes) -> object:
    text = raw.decode("utf-8", "replace")
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        raise
    except ValueError:  # a number that Python refuses to convert
        return json.loads(text, parse_int=_whole)


def _whole(digits: str) -> int | str:
    return int(digits) if len(digits) < MAX_NUMBER_DIGITS else digits


def _intricate(error: TooIntricate) -> Refused:
    return _malformed(f"too much to look at before byte {error.position}")


def _malformed(detail: str) -> Refused:
    return Refused(Reason.BAD_REQUEST, f"error unmarshaling request bodyMap: {detail}")
