"""Images and videos in a chat: how many tokens they cost, and what stands for them in a prompt."""

from __future__ import annotations

import binascii
from typing import Final

from xxhash import xxh64_intdigest

PIXELS_PER_TOKEN: Final = 1024
DEFAULT_IMAGE_TOKENS: Final = 640 * 360 // PIXELS_PER_TOKEN  # of an image whose size cannot be seen
MAX_IMAGE_TOKENS: Final = 16_384  # engines scale larger ones down; a header can claim any size
# Ten seconds at two frames a second, each of the default size: what the field assumes.
VIDEO_TOKENS: Final = 20 * DEFAULT_IMAGE_TOKENS

_HEAD_CHARACTERS: Final = 64 * 1024  # of base64; in a photo the size can stand behind a preview
_MAX_JPEG_SEGMENTS: Final = 64  # before the one with the size
_PNG, _JPEG = b"\x89PNG\r\n\x1a\n", b"\xff\xd8"
_GIFS: Final = (b"GIF87a", b"GIF89a")
# Markers that carry the size.
_JPEG_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def image_tokens(url: str) -> int:
    """Estimated by the size in pixels, which only a data URL with a common format shows."""
    header, comma, data = url[:_HEAD_CHARACTERS].partition(",")
    if not comma or not header.startswith("data:") or not header.endswith(";base64"):
        return DEFAULT_IMAGE_TOKENS
    try:
        size = image_size(binascii.a2b_base64(data[: len(data) // 4 * 4]))
    except ValueError:
        return DEFAULT_IMAGE_TOKENS
    if size is None:
        return DEFAULT_IMAGE_TOKENS
    width, height = size
    return min(max(1, width * height // PIXELS_PER_TOKEN), MAX_IMAGE_TOKENS)


def image_size(data: bytes) -> tuple[int, int] | None:
    """Width and height in pixels from the start of a PNG, GIF or JPEG file."""
    if data.startswith(_PNG) and len(data) >= 24:
        return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    if data.startswith(_GIFS) and len(data) >= 10:
        return int.from_bytes(data[6:8], "little"), int.from_bytes(data[8:10], "little")
    return _jpeg_size(data) if data.startswith(_JPEG) else None


def placeholder(reference: str, tokens: int) -> bytes:
    """Four bytes a token, the same for the same medium: equal media give equal prefix blocks."""
    digest = xxh64_intdigest(reference.encode("utf-8", "surrogatepass")) & 0xFFFFFFFF
    return digest.to_bytes(4, "little") * tokens


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    at = len(_JPEG)
    for _ in range(_MAX_JPEG_SEGMENTS):
        if at + 9 > len(data) or data[at] != 0xFF:
            return None
        if data[at + 1] in _JPEG_FRAMES:
            height, width = data[at + 5 : at + 7], data[at + 7 : at + 9]
            return int.from_bytes(width, "big"), int.from_bytes(height, "big")
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None
