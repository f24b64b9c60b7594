"""Base models as texts: the file of `--base-model-map`, and the data of a ConfigMap."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from epp.bodyrouting.basemodels import Entries, Entry, joined
from epp.config.errors import ConfigError
from epp.config.yaml_text import load

MAX_TEXT_BYTES: Final = 1 << 20  # of a document; a ConfigMap cannot hold more either
BASE_MODEL_KEY: Final = "baseModel"
ADAPTERS_KEY: Final = "adapters"
DOCUMENT_KEY: Final = "baseModels"


def decode_document(text: bytes) -> Entries:
    """YAML or JSON: `baseModels`, a list of `{baseModel, adapters}`. Raises ConfigError."""
    if len(text) > MAX_TEXT_BYTES:
        raise ConfigError([f"is larger than {MAX_TEXT_BYTES} bytes"])
    try:
        document = load(text.decode())
    except UnicodeDecodeError as error:
        raise ConfigError([f"is not UTF-8: {error}"]) from None
    if not isinstance(document, Mapping) or set(document) != {DOCUMENT_KEY}:
        raise ConfigError([f"a mapping with `{DOCUMENT_KEY}` and nothing else is expected"])
    listed = document[DOCUMENT_KEY]
    if not isinstance(listed, list):
        raise ConfigError([f"{DOCUMENT_KEY}: a list is expected"])
    problems: list[str] = []
    entries: list[tuple[str, Entry]] = []
    for index, item in enumerate(listed):
        place = f"{DOCUMENT_KEY}[{index}]"
        try:
            entries.append((place, _entry(item)))
        except ValueError as error:
            problems.append(f"{place}{error}")
    _, disputes = joined(entries)
    if problems or disputes:
        raise ConfigError([*problems, *disputes])
    return entries


def decode_data(data: Mapping[str, object]) -> Entry:
    """The `data` of one ConfigMap: a name, and a YAML list as text. Raises ValueError."""
    base = data.get(BASE_MODEL_KEY)
    if not isinstance(base, str) or not base.strip():
        raise ValueError(f"data.{BASE_MODEL_KEY}: is missing or empty")
    written = data.get(ADAPTERS_KEY) or ""
    if not isinstance(written, str):
        raise ValueError(f"data.{ADAPTERS_KEY}: a YAML list as text is expected")
    try:
        listed = load(written)
    except ConfigError as error:
        raise ValueError(f"data.{ADAPTERS_KEY}: {error.problems[0]}") from None
    return Entry(base.strip(), _adapters(f"data.{ADAPTERS_KEY}", listed))


def _entry(item: object) -> Entry:
    if not isinstance(item, Mapping):
        raise ValueError(f": a mapping with `{BASE_MODEL_KEY}` is expected")
    for key in item:
        if key not in (BASE_MODEL_KEY, ADAPTERS_KEY):
            raise ValueError(f": unknown field {key!r:.80}")
    base = item.get(BASE_MODEL_KEY)
    if not isinstance(base, str) or not base.strip():
        raise ValueError(f".{BASE_MODEL_KEY}: is missing or empty")
    return Entry(base.strip(), _adapters(f".{ADAPTERS_KEY}", item.get(ADAPTERS_KEY)))


def _adapters(place: str, listed: object) -> tuple[str, ...]:
    if listed is None:
        return ()
    if not isinstance(listed, list):
        raise ValueError(f"{place}: a list of names is expected")
    names: list[str] = []
    for index, name in enumerate(listed):
        # A name such as `7` is a number to YAML.
        if isinstance(name, bool) or not isinstance(name, str | int | float):
            raise ValueError(f"{place}[{index}]: a name is expected")
        if text := str(name).strip():
            names.append(text)
    return tuple(names)
