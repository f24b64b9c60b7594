"""What reading a request body yields, whatever the API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from epp.core.refusal import Reason, Refused

# Of English text in a common vocabulary; the estimate before one is learned.
BYTES_PER_TOKEN: Final = 4
# It is kept with the request, in records, labels and logs. As much as a route can match.
MAX_MODEL_CHARACTERS: Final = 4096
# What engines take for true.
TRUE_SPELLINGS: Final = frozenset({"1", "on", "t", "true", "y", "yes"})


@dataclass(frozen=True, slots=True)
class Payload:
    """Keeps no reference to the parsed document."""

    api: str  # family, for metrics and logs
    model: str = ""  # empty if the body names none
    streaming: bool = False
    prompt: bytes = b""  # in the order in which the engine sees it; token ids are 4 bytes each
    prompt_tokens: int = 0  # estimate; exact for token ids
    media_tokens: int = 0  # of them, those of images, videos and audio
    max_output_tokens: int | None = None
    cache_salt: str = ""
    can_rewrite: bool = False  # whether the model's name can be replaced


def estimate_tokens(size_bytes: int) -> int:
    return -(-size_bytes // BYTES_PER_TOKEN)


def model_of(document: Mapping[str, Any]) -> str:
    """Always encodable: a lone surrogate, which no model's name has, becomes a question mark.

    Raises Refused for a name that is too long.
    """
    model = document.get("model")
    if not isinstance(model, str):
        return ""
    if len(model) > MAX_MODEL_CHARACTERS:
        detail = f"the model's name has {len(model)} characters, more than {MAX_MODEL_CHARACTERS}"
        raise Refused(Reason.BAD_REQUEST, detail)
    return model if model.isascii() else model.encode("utf-8", "replace").decode()


def streams(document: Mapping[str, Any]) -> bool:
    """As engines read the flag: a word or a number may stand for true."""
    flag = document.get("stream")
    if isinstance(flag, str):
        return flag.lower() in TRUE_SPELLINGS
    return isinstance(flag, (bool, int, float)) and flag == 1
