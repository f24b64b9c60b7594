"""The JSON forms of the small protobuf messages that every part of a configuration needs."""

from __future__ import annotations

Json = dict[str, object]


def typed(name: str, message: str, **fields: object) -> Json:
    """An extension under its name, configured by a protobuf message."""
    return {"name": name, "typed_config": {"@type": f"type.googleapis.com/{message}", **fields}}


def duration(seconds: float) -> str:
    return f"{seconds:.3f}s"


def address(host: str, port: int) -> Json:
    return {"socket_address": {"address": host, "port_value": port}}


def metadata_key(namespace: str, key: str) -> Json:
    return {"key": namespace, "path": [{"key": key}]}
