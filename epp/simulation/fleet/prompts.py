"""What the picker reads of a simulated request: bytes that are equal where the text is equal."""

from __future__ import annotations

from typing import Final

from epp.payloads.media import PIXELS_PER_TOKEN
from epp.payloads.payload import BYTES_PER_TOKEN, Payload, estimate_tokens
from epp.simulation.fleet.segments import Segment
from epp.simulation.workloads.turns import Turn

BASE_MODEL: Final = "base"
# Of an image, in a token of Qwen2.5-VL. The picker assumes another number, and counts by it.
TRUE_PIXELS_PER_TOKEN: Final = 784
_SPREAD: Final = 0x9E3779B97F4A7C15  # odd: different keys give different words


def payload_of(turn: Turn, bytes_per_token: float) -> Payload:
    """As from a body; the picker does not know the true number of tokens."""
    prompt = b"".join([_text(segment, bytes_per_token) for segment in turn.segments])
    return Payload(
        api="openai",
        model=turn.model or BASE_MODEL,
        streaming=True,
        prompt=prompt,
        prompt_tokens=estimate_tokens(len(prompt)),
        media_tokens=sum([_image_tokens(segment) for segment in turn.segments if segment.image]),
        max_output_tokens=turn.max_output_tokens,
    )


def _text(segment: Segment, bytes_per_token: float) -> bytes:
    """One word again and again: its hashes differ by their place in the chain."""
    if segment.image:
        size = _image_tokens(segment) * BYTES_PER_TOKEN
    else:
        size = round(segment.tokens * bytes_per_token)
    word = (segment.key * _SPREAD & 0xFFFF_FFFF_FFFF_FFFF).to_bytes(8, "little")
    return (word * (size // 8 + 1))[:size]


def _image_tokens(segment: Segment) -> int:
    """As the picker counts them, by the size of the image."""
    return max(1, segment.tokens * TRUE_PIXELS_PER_TOKEN // PIXELS_PER_TOKEN)
