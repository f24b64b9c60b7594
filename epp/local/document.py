"""The document that the picker of one machine runs on: the given one, for servers we know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NAME = "local-endpoints"


def with_endpoints(document: Mapping[str, Any], endpoints_file: str) -> dict[str, Any]:
    """A valid document, as plain data, with this discovery in place of its own."""
    plugins = document.get("plugins") or []
    name = NAME
    while any(plugin.get("name") == name for plugin in plugins):
        name += "-too"
    discovery = {"type": "file-discovery", "name": name, "parameters": {"path": endpoints_file}}
    return {
        **document,
        "plugins": [*plugins, discovery],
        "dataLayer": {**(document.get("dataLayer") or {}), "discovery": {"pluginRef": name}},
    }
