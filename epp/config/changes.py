"""What is different between two documents, as lines for the log."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence

import orjson

MAX_CHANGES = 20  # more are counted, not listed
MAX_VALUE = 80  # characters of a value that is shown
# By which entries of lists are known.
NAMES = ("name", "pluginRef", "type", "priority", "objective", "step")

Json = object


def digest_of(document: Mapping[str, Json]) -> str:
    """The same for documents that say the same, however they are written; 12 hex digits."""
    options = orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS
    return hashlib.sha256(orjson.dumps(document, default=str, option=options)).hexdigest()[:12]


def changes(before: Mapping[str, Json], after: Mapping[str, Json]) -> list[str]:
    """`place: old -> new`, in the order of the documents. Empty if they say the same."""
    found = list(_of_mappings("", before, after))
    more = len(found) - MAX_CHANGES
    return [*found[:MAX_CHANGES], *([f"and {more} more"] if more > 0 else [])]


def _of(place: str, before: Json, after: Json) -> Iterator[str]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        yield from _of_mappings(place, before, after)
    elif isinstance(before, list) and isinstance(after, list):
        yield from _of_lists(place, before, after)
    elif before != after or type(before) is not type(after):  # true is equal to 1
        yield f"{place}: {_shown(before)} -> {_shown(after)}"


def _of_mappings(
    place: str, before: Mapping[str, Json], after: Mapping[str, Json]
) -> Iterator[str]:
    for key in dict.fromkeys((*before, *after)):
        at = f"{place}.{key}" if place else str(key)
        if key not in after:
            yield f"{at}: removed"
        elif key not in before:
            yield f"{at}: added {_shown(after[key])}"
        else:
            yield from _of(at, before[key], after[key])


def _of_lists(place: str, before: Sequence[Json], after: Sequence[Json]) -> Iterator[str]:
    """Entries that have names are compared by them, so that one more at the front is one change."""
    key = _name_key((*before, *after))
    if key is None or not (_distinct(key, before) and _distinct(key, after)):
        if len(before) == len(after):
            for index, (old, new) in enumerate(zip(before, after, strict=True)):
                yield from _of(f"{place}[{index}]", old, new)
        else:
            yield f"{place}: {_shown(before)} -> {_shown(after)}"
        return
    olds, news = _by_name(key, before), _by_name(key, after)
    yield from _of_mappings_of_entries(place, olds, news)
    common = [name for name in olds if name in news]
    if common != [name for name in news if name in olds]:
        yield f"{place}: in another order"


def _of_mappings_of_entries(
    place: str, before: Mapping[str, Json], after: Mapping[str, Json]
) -> Iterator[str]:
    for name in dict.fromkeys((*before, *after)):
        at = f"{place}[{name}]"
        if name not in after:
            yield f"{at}: removed"
        elif name not in before:
            yield f"{at}: added"
        else:
            yield from _of(at, before[name], after[name])


def _name_key(entries: Sequence[Json]) -> str | None:
    """The first key that every entry has."""
    for key in NAMES:
        if entries and all(isinstance(entry, Mapping) and key in entry for entry in entries):
            return key
    return None


def _distinct(key: str, entries: Sequence[Json]) -> bool:
    return len(_by_name(key, entries)) == len(entries)


def _by_name(key: str, entries: Sequence[Json]) -> dict[str, Json]:
    return {str(entry[key]): entry for entry in entries if isinstance(entry, Mapping)}


def _shown(value: Json) -> str:
    text = orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    return text if len(text) <= MAX_VALUE else f"{text[:MAX_VALUE]}..."
