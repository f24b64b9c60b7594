"""What the API server answers, read from bytes: pages of a list, lines of a watch, failures.

One object that is wrong is a problem of that object alone. Bytes that are no answer at all raise
Garbage.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Generic, TypeAlias, TypeVar

import orjson

from epp.datalayer.discovery.kubernetes.fields import BadField, Json, mapping_at, text_at

T = TypeVar("T")

Key: TypeAlias = tuple[str, str]  # namespace, name
Reader: TypeAlias = Callable[[Json], T]  # raises BadField

_DETAIL_CHARACTERS: Final = 300


class Garbage(ValueError):
    """The bytes are not what an API server says."""


class FailureKind(StrEnum):
    GONE = "gone"  # the resource version is too old: list again
    NOT_FOUND = "not found"
    FORBIDDEN = "forbidden"
    UNAUTHORIZED = "unauthorized"
    REFUSED = "refused"  # the server answered with another error
    UNREACHABLE = "unreachable"  # no answer, or none that can be read


@dataclass(frozen=True, slots=True)
class Failure:
    kind: FailureKind
    detail: str
    retry_after_seconds: float = 0.0  # as the server asks; 0 if it does not


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A part of a list, or all of it."""

    objects: Mapping[Key, T]
    problems: Mapping[Key, str]  # of the objects that could not be read
    resource_version: str
    continue_token: str  # empty on the last page
    size_bytes: int

    def __len__(self) -> int:
        return len(self.objects) + len(self.problems)


@dataclass(frozen=True, slots=True)
class Put(Generic[T]):
    """An object was added or modified."""

    key: Key
    value: T | None  # None: it cannot be read, `problem` says why
    problem: str
    resource_version: str


@dataclass(frozen=True, slots=True)
class Removed:
    key: Key
    resource_version: str


@dataclass(frozen=True, slots=True)
class Bookmark:
    resource_version: str


Event: TypeAlias = Put[T] | Removed | Bookmark | Failure


def read_page(body: bytes, read: Reader[T]) -> Page[T]:
    answer = _object(body)
    items = answer.get("items")
    if items is None:
        items = []
    if not isinstance(items, list) or not isinstance(answer.get("metadata"), dict):
        raise Garbage("not a list of objects")
    objects: dict[Key, T] = {}
    problems: dict[Key, str] = {}
    for raw in items:
        key, value, problem = _one(raw, read)
        if value is not None:
            objects[key] = value
        else:
            problems[key] = problem
    try:
        metadata = mapping_at(answer, "metadata")
        version = text_at(metadata, "resourceVersion", "metadata")
        token = text_at(metadata, "continue", "metadata")
    except BadField as error:
        raise Garbage(str(error)) from None
    if not version:
        raise Garbage("a list without a resource version")
    return Page(objects, problems, version, token, len(body))


def read_event(line: bytes, read: Reader[T]) -> Event[T]:
    answer = _object(line)
    kind, raw = answer.get("type"), answer.get("object")
    if not isinstance(raw, dict):
        raise Garbage("an event without an object")
    if kind == "ERROR":
        return _failure_of_status(raw)
    metadata = raw.get("metadata")
    version = metadata.get("resourceVersion") if isinstance(metadata, dict) else None
    if not isinstance(version, str) or not version:
        raise Garbage("an event without a resource version")
    if kind == "BOOKMARK":
        return Bookmark(version)
    if kind == "DELETED":
        return Removed(_key(raw), version)
    if kind in ("ADDED", "MODIFIED"):
        key, value, problem = _one(raw, read)
        return Put(key, value, problem, version)
    raise Garbage(f"an event of unknown type {kind!r:.80}")


def read_failure(status: int, body: bytes, retry_after: str = "") -> Failure:
    """An answer that is not 200. `retry_after` is the header."""
    try:
        message = _object(body).get("message")
    except Garbage:
        message = body.decode(errors="replace")
    detail = f"HTTP {status}: {_short(message)}" if message else f"HTTP {status}"
    seconds = float(retry_after) if retry_after.isascii() and retry_after.isdigit() else 0.0
    return Failure(_kind(status, ""), detail, seconds)


def names_resource(body: bytes, plural: str) -> bool:
    """Whether the resources of a group, as the server lists them, have this one."""
    resources = _object(body).get("resources")
    if not isinstance(resources, list):
        raise Garbage("not a list of resources")
    return any(isinstance(entry, dict) and entry.get("name") == plural for entry in resources)


def _failure_of_status(status: Json) -> Failure:
    """The Status object of an ERROR event; there HTTP has said 200 before."""
    code, reason = status.get("code"), status.get("reason")
    number = code if isinstance(code, int) else 0
    detail = f"{_short(status.get('message'))} (code {number})"
    return Failure(_kind(number, reason if isinstance(reason, str) else ""), detail)


def _kind(status: int, reason: str) -> FailureKind:
    if status == 410 or reason in ("Expired", "Gone"):
        return FailureKind.GONE
    kinds = {
        401: FailureKind.UNAUTHORIZED,
        403: FailureKind.FORBIDDEN,
        404: FailureKind.NOT_FOUND,
    }
    return kinds.get(status, FailureKind.REFUSED)


def _one(raw: object, read: Reader[T]) -> tuple[Key, T | None, str]:
    if not isinstance(raw, dict):
        raise Garbage("an item that is no object")
    key = _key(raw)
    try:
        return key, read(raw), ""
    except BadField as error:
        return key, None, str(error)


def _key(raw: Json) -> Key:
    metadata = raw.get("metadata")
    if isinstance(metadata, dict):
        namespace, name = metadata.get("namespace", ""), metadata.get("name")
        if isinstance(namespace, str) and isinstance(name, str) and name:
            return namespace, name
    raise Garbage("an object without a name")


def _object(body: bytes) -> Json:
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Garbage(f"not JSON: {error}") from None
    if not isinstance(answer, dict):
        raise Garbage("not a JSON object")
    return answer


def _short(message: object) -> str:
    return " ".join(str(message).split())[:_DETAIL_CHARACTERS]


@dataclass(slots=True)
class LineSplitter:
    """Bytes as they come → whole lines. What is longer than the limit raises Garbage."""

    max_line_bytes: int
    _pieces: list[bytes] = field(default_factory=list)
    _held: int = 0

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that are complete now, without their ends; empty ones are left out."""
        *whole, rest = data.split(b"\n")
        if whole:
            whole[0] = b"".join((*self._pieces, whole[0]))
            self._pieces.clear()
            self._held = 0
        if rest:
            self._pieces.append(rest)
            self._held += len(rest)
        if self._held > self.max_line_bytes or any(len(w) > self.max_line_bytes for w in whole):
            raise Garbage(f"a line of more than {self.max_line_bytes} bytes")
        return [line for line in whole if line.strip()]
