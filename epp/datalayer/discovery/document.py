"""The endpoints file as values. Strict: a file with any problem is refused, every problem named."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import yaml

from epp.datalayer.store import EndpointSpec

MAX_FILE_BYTES = 1024 * 1024
MAX_DEPTH = 50
MAX_PROBLEMS = 20  # more are counted, not listed

_FIELDS = ("name", "namespace", "address", "port", "labels")


class EndpointsFileError(Exception):
    """What is wrong with the file, one problem a line, each with its place."""

    def __init__(self, problems: Sequence[str]) -> None:
        more = len(problems) - MAX_PROBLEMS
        listed = [*problems[:MAX_PROBLEMS], *([f"and {more} more"] if more > 0 else [])]
        super().__init__("\n".join(listed))
        self.problems = tuple(problems)


def decode_endpoints(text: bytes, where: str) -> list[EndpointSpec]:
    """YAML or JSON with a list `endpoints`. Raises EndpointsFileError; `where` names the file."""
    if len(text) > MAX_FILE_BYTES:
        raise EndpointsFileError([f"{where}: more than {MAX_FILE_BYTES} bytes"])
    decoder = _Decoder(where)
    specs = decoder.document(_parse(text, where))
    if decoder.problems:
        raise EndpointsFileError(decoder.problems)
    return specs


def _parse(text: bytes, where: str) -> object:
    try:
        if text.lstrip()[:1] == b"{":
            try:
                return json.loads(text, object_pairs_hook=_object)
            except ValueError:
                pass  # YAML, which may begin so too, says the same of a real mistake
        _refuse_deep(text)
        return yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise EndpointsFileError([f"{where}: {reason}"]) from None


def _refuse_deep(text: bytes) -> None:
    """The C loader recurses without a limit: a file of brackets alone would crash the process."""
    depth = 0
    for event in yaml.parse(text, yaml.CSafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            raise ValueError(f"nested more than {MAX_DEPTH} deep")


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is given twice")
    return found


class _Loader(yaml.CSafeLoader):
    """Refuses a key given twice, where plain YAML would keep the last: half a pool could vanish."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if len(set(keys)) != len(keys):
            twice = next(key for key in keys if keys.count(key) > 1)
            raise yaml.constructor.ConstructorError(
                None, None, f"key {twice!r:.80} is given twice", node.start_mark
            )
        return super().construct_mapping(node, deep=deep)


class _Decoder:
    """Collects problems, so that one reading of the messages is enough to mend the file."""

    def __init__(self, where: str) -> None:
        self.problems: list[str] = []
        self._where = where

    def document(self, document: object) -> list[EndpointSpec]:
        if not isinstance(document, Mapping):
            self._say("", f"a mapping with `endpoints` is expected, not {_kind(document)}")
            return []
        self._refuse_unknown("", document, ("endpoints",))
        entries = document.get("endpoints")
        if not isinstance(entries, list):
            self._say("endpoints", f"a list is expected, not {_kind(entries)}")
            return []
        specs: list[EndpointSpec] = []
        places: dict[tuple[str, str], str] = {}
        for index, entry in enumerate(entries):
            place = f"endpoints[{index}]"
            if (spec := self._endpoint(place, entry)) is None:
                continue
            if (first := places.setdefault(spec.id, place)) != place:
                self._say(place, f"{spec.namespace}/{spec.name} is given already at {first}")
            specs.append(spec)
        return specs

    def _endpoint(self, place: str, entry: object) -> EndpointSpec | None:
        if not isinstance(entry, Mapping):
            self._say(place, f"a mapping is expected, not {_kind(entry)}")
            return None
        before = len(self.problems)
        self._refuse_unknown(place, entry, _FIELDS)
        name = self._text(f"{place}.name", entry.get("name"))
        namespace = self._text(f"{place}.namespace", entry.get("namespace", "default"))
        address = self._address(f"{place}.address", entry.get("address"))
        port = self._port(f"{place}.port", entry.get("port"))
        labels = self._labels(f"{place}.labels", entry.get("labels"))
        if len(self.problems) > before:
            return None
        return EndpointSpec(name, address, port, namespace, labels)

    def _refuse_unknown(
        self, place: str, found: Mapping[object, object], known: Sequence[str]
    ) -> None:
        for key in found:
            if key not in known:
                shown = key if isinstance(key, str) else _kind(key)
                known_names = ", ".join(known)
                self._say(place, f"unknown field {shown!r:.80}; known are {known_names}")

    def _text(self, place: str, value: object) -> str:
        if isinstance(value, str) and value.strip():
            return value
        self._say(place, f"a text is expected, not {_kind(value)}")
        return ""

    def _address(self, place: str, value: object) -> str:
        if isinstance(value, str) and "%" not in value:
            try:
                return str(ipaddress.ip_address(value))
            except ValueError:
                pass
        shown = f"{value!r:.80}" if isinstance(value, str) else _kind(value)
        self._say(place, f"an IPv4 or IPv6 address is expected, not {shown}")
        return ""

    def _port(self, place: str, value: object) -> int:
        port = -1
        if isinstance(value, int) and not isinstance(value, bool):
            port = value
        elif isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 5:
            port = int(value)
        if not 1 <= port <= 65535:
            shown = f"{value!r:.80}" if isinstance(value, str | int) else _kind(value)
            self._say(place, f"a port from 1 to 65535 is expected, not {shown}")
        return port

    def _labels(self, place: str, value: object) -> dict[str, str]:
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            self._say(place, f"a mapping is expected, not {_kind(value)}")
            return {}
        labels: dict[str, str] = {}
        for key, text in value.items():
            if isinstance(key, str) and isinstance(text, str):
                labels[key] = text
            else:
                at = f"{place}.{key:.80}" if isinstance(key, str) else place
                self._say(at, "keys and values are texts; put a number or true in quotes")
        return labels

    def _say(self, place: str, problem: str) -> None:
        self.problems.append(": ".join(part for part in (self._where, place, problem) if part))


def _kind(value: object) -> str:
    """What a value is, for messages. Never the value: aliases can make a small file endless."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "true or false"
        case str():
            return "a text" if value.strip() else "an empty text"
        case int() | float():
            return "a number"
        case Mapping():
            return "a mapping"
        case list():
            return "a list"
        case _:
            return f"a {type(value).__name__}"
