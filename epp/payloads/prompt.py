"""What the readers of all APIs share: how pieces of a prompt are written, and what media add."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from epp.core.refusal import Reason, Refused
from epp.payloads.document import dump_json
from epp.payloads.media import VIDEO_TOKENS, image_tokens, placeholder
from epp.payloads.payload import BYTES_PER_TOKEN, Payload, estimate_tokens, model_of, streams

# Beyond this much prompt, media only count; a small body can name very many of them.
MAX_BYTES_WITH_MEDIA: Final = 4 << 20
# Messages, items, prompts of a batch, and parts of messages that are looked at one by one, each of
# these. What comes behind is written as JSON, which takes next to no time.
MAX_PIECES: Final = 10_000
AUDIO: Final = ("input_audio", "audio_url")


@dataclass(slots=True)
class Media:
    """The images, videos and audio of one prompt, and how many parts they were looked for in."""

    tokens: int = 0
    unwritten_tokens: int = 0  # of them, those that found no room in the prompt
    parts: int = 0  # of messages so far, media or not

    def takes(self, parts: list[Any]) -> bool:
        """Whether these are still looked at one by one."""
        self.parts += len(parts)
        return self.parts <= MAX_PIECES

    def add_image(self, url: str, prompt: bytearray) -> None:
        self._add(url, image_tokens(url), prompt)

    def add_video(self, url: str, prompt: bytearray) -> None:
        self._add(url, VIDEO_TOKENS, prompt)

    def add_other(self, part: object, prompt: bytearray) -> None:
        """A part that is written as JSON. Of audio, four characters of its data are a token."""
        text = dump_json(part)
        if isinstance(part, dict) and part.get("type") in AUDIO:
            self.tokens += estimate_tokens(len(text))
        prompt += text

    def _add(self, url: str, tokens: int, prompt: bytearray) -> None:
        """Placeholders begin at a whole token, so that equal media give equal blocks."""
        prompt += bytes(-len(prompt) % BYTES_PER_TOKEN)
        room = max(0, MAX_BYTES_WITH_MEDIA - len(prompt)) // BYTES_PER_TOKEN
        prompt += placeholder(url, min(tokens, room))
        self.tokens += tokens
        self.unwritten_tokens += max(0, tokens - room)


def payload_of(
    api: str,
    document: dict[str, Any],
    prompt: bytes,
    media: Media,
    limit: int | None,
    *,
    can_rewrite: bool = True,
) -> Payload:
    """`limit` is of the answer's tokens."""
    salt = document.get("cache_salt")
    return Payload(
        api=api,
        model=model_of(document),
        streaming=streams(document),
        prompt=prompt,
        prompt_tokens=estimate_tokens(len(prompt)) + media.unwritten_tokens,
        media_tokens=media.tokens,
        max_output_tokens=limit,
        cache_salt=salt if isinstance(salt, str) else "",
        can_rewrite=can_rewrite,
    )


def add_content(
    content: object,
    prompt: bytearray,
    media: Media,
    add_part: Callable[[object, bytearray, Media], None],
) -> None:
    """A text, or a list whose parts `add_part` adds one by one."""
    if isinstance(content, list) and media.takes(content):
        for part in content:
            add_part(part, prompt, media)
    else:
        prompt += written(content)


def without(api: str, field: str) -> Refused:
    """In the words of the Go picker."""
    return Refused(Reason.BAD_REQUEST, f"invalid {api} request: must have {field} field")


def whole_number(value: object) -> int | None:
    """A limit counts only if it is a whole number that is not negative."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return int(value) if 0 <= value < 1 << 53 and value == value // 1 else None


def pack_tokens(tokens: list[Any]) -> bytes | None:
    """Four bytes a token, so that one rule serves text and tokens. None if these are no tokens."""
    try:
        return struct.pack(f"<{len(tokens)}I", *tokens)
    except struct.error:
        return None


def rest_of(pieces: list[Any]) -> bytes:
    """Those that are not looked at one by one."""
    return dump_json(pieces[MAX_PIECES:]) if len(pieces) > MAX_PIECES else b""


def unbuilt_list(value: object) -> bytes | None:
    """A list too deep to be built stays as its bytes: the engine may still take it."""
    return value if isinstance(value, bytes) and value.startswith(b"[") else None


def url_of(value: object) -> str | None:
    if isinstance(value, dict):
        value = value.get("url")
    return value if isinstance(value, str) else None


def written(value: object) -> bytes:
    """Text as it is, all else as JSON; null is nothing."""
    if isinstance(value, str):
        return utf8(value)
    return b"" if value is None else dump_json(value)


def utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
