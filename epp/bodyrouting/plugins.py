"""The `--plugin type:name[:json]` flags of the Go body-based router, as settings."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

import orjson

from epp.bodyrouting.settings import BASE_MODEL_HEADER, FieldHeader, RoutingSettings

FIELD_TO_HEADER: Final = "body-field-to-header"
BASE_MODEL_TO_HEADER: Final = "base-model-to-header"

_HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
# Setting one of these would change the request itself or how it is framed.
_FORBIDDEN_HEADERS: Final = frozenset(
    ("host", "content-length", "transfer-encoding", "connection", "te", "upgrade")
)


class PluginError(Exception):
    """A `--plugin` flag that cannot be used."""


def settings_of(specs: Sequence[str]) -> RoutingSettings:
    """Without any spec the default: model and base model. Raises PluginError, naming the spec."""
    if not specs:
        return RoutingSettings()
    settings = RoutingSettings(fields=(), base_model=False)
    names: set[str] = set()
    for spec in specs:
        kind, name, parameters = _split(spec)
        if name in names:
            raise PluginError(f"{spec!r}: the name {name!r} is given already")
        names.add(name)
        try:
            settings = KINDS[kind](settings, _object(parameters))
        except KeyError:
            known = ", ".join(KINDS)
            raise PluginError(f"{spec!r}: unknown type {kind!r}; known are {known}") from None
        except ValueError as error:
            raise PluginError(f"{spec!r}: {error}") from None
    return settings


def _split(spec: str) -> tuple[str, str, str]:
    kind, _, rest = spec.partition(":")
    name, _, parameters = rest.partition(":")
    if not kind or not name:
        raise PluginError(f"{spec!r}: type:name or type:name:json is expected")
    return kind, name, parameters


def _object(text: str) -> Mapping[str, object]:
    if not text:
        return {}
    try:
        found: object = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"the parameters are no JSON: {error}") from None
    if not isinstance(found, dict):
        raise ValueError("the parameters must be a JSON object")
    return found


def _field_to_header(
    settings: RoutingSettings, parameters: Mapping[str, object]
) -> RoutingSettings:
    _refuse_unknown(parameters, ("field_name", "header_name"))
    field = _text(parameters, "field_name")
    header = _text(parameters, "header_name").lower()
    if not _HEADER_NAME.fullmatch(header):
        raise ValueError(f"header_name: {header!r} is not the name of a header")
    if header in _FORBIDDEN_HEADERS:
        raise ValueError(f"header_name: {header!r} must not be set from a body")
    if any(pair.header == header for pair in settings.fields):
        raise ValueError(f"header_name: {header!r} is set by another plugin already")
    if header == BASE_MODEL_HEADER:
        raise ValueError(f"header_name: {header!r} is set by {BASE_MODEL_TO_HEADER}")
    return replace(settings, fields=(*settings.fields, FieldHeader(field, header)))


def _base_model_to_header(
    settings: RoutingSettings, parameters: Mapping[str, object]
) -> RoutingSettings:
    _refuse_unknown(parameters, ())
    return replace(settings, base_model=True)


def _refuse_unknown(parameters: Mapping[str, object], known: Sequence[str]) -> None:
    for key in parameters:
        if key not in known:
            names = ", ".join(known) or "none"
            raise ValueError(f"unknown parameter {key!r}; known are: {names}")


def _text(parameters: Mapping[str, object], key: str) -> str:
    value = parameters.get(key)
    if not isinstance(value, str) or not value:
        raise ValueError(f"{key}: a text is required")
    return value


Plugin = Callable[[RoutingSettings, Mapping[str, object]], RoutingSettings]
KINDS: Final[Mapping[str, Plugin]] = {
    FIELD_TO_HEADER: _field_to_header,
    BASE_MODEL_TO_HEADER: _base_model_to_header,
}
