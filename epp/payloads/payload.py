"""What reading a request body yields, whatever the API."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

BYTES_PER_TOKEN = 4  # of English text in a common vocabulary; the estimate before one is learned


@dataclass(slots=True)
class Payload:
    """Keeps no reference to the parsed document."""

    api: str  # family, for metrics and logs
    model: str = ""  # empty if the body names none
    streaming: bool = False
    prompt: bytes = b""  # in the order in which the engine sees it; token ids are 4 bytes each
    prompt_tokens: int = 0  # estimate
    max_output_tokens: int | None = None
    cache_salt: str = ""
    can_rewrite: bool = False  # whether the model's name can be replaced


def estimate_tokens(prompt: bytes) -> int:
    return -(-len(prompt) // BYTES_PER_TOKEN)


def model_of(document: dict[str, Any]) -> str:
    model = document.get("model")
    return model if isinstance(model, str) else ""
