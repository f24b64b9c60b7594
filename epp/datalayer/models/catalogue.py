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
        self._adapters: dict[str, set[Endpoint]] = {}  # by name, who lists it

    def put(self, endpoint: Endpoint, models: tuple[dict[str, Any], ...]) -> None:
        self.forget(endpoint)
        self._lists[endpoint] = models
        for name in _adapters(models):
            self._adapters.setdefault(name, set()).add(endpoint)

    def forget(self, endpoint: Endpoint) -> None:
        for name in _adapters(self._lists.pop(endpoint, ())):
            if holders := self._adapters.get(name):
                holders.discard(endpoint)
                if not holders:
                    del self._adapters[name]

    def is_adapter(self, model: str) -> bool:
        """Whether some server names a parent of the model, as vLLM does for LoRA adapters."""
        return model in self._adapters

    def lists(self, endpoint: Endpoint, model: str) -> bool:
        """Whether the server itself names the model among its adapters."""
        return model in self._adapters and endpoint in self._adapters[model]

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


def _adapters(models: tuple[dict[str, Any], ...]) -> list[str]:
    return [model["id"] for model in models if model.get("parent")]
