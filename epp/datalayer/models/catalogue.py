"""The union of the servers' model lists, as one OpenAI model list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from epp.core.endpoint import Endpoint

MAX_MODELS_PER_SERVER = 2000


class MalformedList(ValueError):
    """The answer of a server is no model list."""


def read_list(body: bytes) -> tuple[dict[str, Any], ...]:
    """The models of one `/v1/models` answer. Raises MalformedList."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise MalformedList(f"not JSON: {error}") from None
    models = document.get("data") if isinstance(document, dict) else None
    if not isinstance(models, list):
        raise MalformedList("no list `data`")
    named = (model for model in models if isinstance(model, dict))
    return tuple(m for m in named if isinstance(m.get("id"), str))[:MAX_MODELS_PER_SERVER]


class ModelCatalogue:
    """Keeps the last good list of every server. A server without one adds nothing."""

    def __init__(self) -> None:
        self._lists: dict[Endpoint, tuple[dict[str, Any], ...]] = {}

    def put(self, endpoint: Endpoint, models: tuple[dict[str, Any], ...]) -> None:
        self._lists[endpoint] = models

    def forget(self, endpoint: Endpoint) -> None:
        self._lists.pop(endpoint, None)

    def document(self, endpoints: Sequence[Endpoint]) -> bytes | None:
        """Each model once, in the order of the endpoints; None while no list is known."""
        known = [self._lists[endpoint] for endpoint in endpoints if endpoint in self._lists]
        if not known:
            return None
        union: dict[str, dict[str, Any]] = {}
        for models in known:
            for model in models:
                union.setdefault(model["id"], model)
        return orjson.dumps({"object": "list", "data": list(union.values())})
