"""OpenAI chat completions and completions: what the engine will see as the prompt."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, Final

from epp.core.refusal import Reason, Refused
from epp.payloads.document import dump_json
from epp.payloads.media import VIDEO_TOKENS, image_tokens, placeholder
from epp.payloads.payload import BYTES_PER_TOKEN, Payload, estimate_tokens, model_of, streams

# Beyond this much prompt, media only count; a small body can name very many of them.
MAX_BYTES_WITH_MEDIA: Final = 4 << 20
AUDIO: Final = ("input_audio", "audio_url")


@dataclass(slots=True)
class _Media:
    """The images, videos and audio of one chat."""

    tokens: int = 0
    unwritten_tokens: int = 0  # of them, those that found no room in the prompt


def read_chat(document: dict[str, Any]) -> Payload:
    """Raises Refused without messages."""
    messages = document.get("messages")
    prompt, media = bytearray(), _Media()
    if tools := document.get("tools"):
        prompt += dump_json(tools)
    if isinstance(messages, bytes) and messages.startswith(b"["):
        prompt += messages  # too deep to be built: the engine may still take it
    elif not isinstance(messages, list) or not messages:
        raise _without("chat completions", "valid messages")
    else:
        for message in messages:
            if not isinstance(message, dict):
                raise _without("chat completions", "valid messages")
            _add_message(message, prompt, media)
    limit = _whole(document.get("max_completion_tokens"))
    if limit is None:
        limit = _whole(document.get("max_tokens"))
    return _payload("chat-completions", document, bytes(prompt), media, limit)


def read_completions(document: dict[str, Any]) -> Payload:
    """Raises Refused without a prompt."""
    prompt = document.get("prompt")
    if isinstance(prompt, bytes) and prompt.startswith(b"["):
        text = prompt
    elif isinstance(prompt, (str, list)) and prompt:
        text = _completion_prompt(prompt)
    else:
        raise _without("completions", "prompt")
    limit = _whole(document.get("max_tokens"))
    return _payload("completions", document, text, _Media(), limit)


def _completion_prompt(prompt: str | list[Any]) -> bytes:
    """One prompt, or several one after the other; each is text or a list of token ids."""
    if isinstance(prompt, str):
        return _utf8(prompt)
    tokens = _packed(prompt)
    if tokens is not None:
        return tokens
    pieces: list[bytes] = []
    for part in prompt:
        if isinstance(part, str):
            pieces.append(_utf8(part))
        elif isinstance(part, list):
            pieces.append(_packed(part) or b"")
    return b"".join(pieces)


def _packed(tokens: list[Any]) -> bytes | None:
    """Four bytes a token, so that one rule serves text and tokens. None if these are no tokens."""
    try:
        return struct.pack(f"<{len(tokens)}I", *tokens)
    except struct.error:
        return None


def _add_message(message: dict[str, Any], prompt: bytearray, media: _Media) -> None:
    """Adds role, content and tool calls."""
    role = message.get("role")
    if isinstance(role, str):
        prompt += _utf8(role)
    content = message.get("content")
    if isinstance(content, str):
        prompt += _utf8(content)
    elif isinstance(content, list):
        for part in content:
            _add_part(part, prompt, media)
    elif content is not None:
        prompt += dump_json(content)
    if calls := message.get("tool_calls"):
        prompt += dump_json(calls)


def _add_part(part: object, prompt: bytearray, media: _Media) -> None:
    if isinstance(part, str):
        prompt += _utf8(part)
        return
    if isinstance(part, dict):
        match part.get("type"):
            case "text" | "refusal" as kind if isinstance(text := part.get(kind), str):
                prompt += _utf8(text)
                return
            case "image_url" if (url := _url(part.get("image_url"))) is not None:
                _add_medium(url, image_tokens(url), prompt, media)
                return
            case "video_url" if (url := _url(part.get("video_url"))) is not None:
                _add_medium(url, VIDEO_TOKENS, prompt, media)
                return
    written = dump_json(part)
    if isinstance(part, dict) and part.get("type") in AUDIO:
        media.tokens += estimate_tokens(len(written))  # four characters of its data are a token
    prompt += written


def _url(value: object) -> str | None:
    if isinstance(value, dict):
        value = value.get("url")
    return value if isinstance(value, str) else None


def _add_medium(url: str, tokens: int, prompt: bytearray, media: _Media) -> None:
    """Placeholders begin at a whole token, so that equal media give equal blocks."""
    prompt += bytes(-len(prompt) % BYTES_PER_TOKEN)
    room = max(0, MAX_BYTES_WITH_MEDIA - len(prompt)) // BYTES_PER_TOKEN
    prompt += placeholder(url, min(tokens, room))
    media.tokens += tokens
    media.unwritten_tokens += max(0, tokens - room)


def _payload(
    api: str, document: dict[str, Any], prompt: bytes, media: _Media, limit: int | None
) -> Payload:
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
        can_rewrite=True,
    )


def _whole(value: object) -> int | None:
    """A limit counts only if it is a whole number that is not negative."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return int(value) if 0 <= value < 1 << 53 and value == value // 1 else None


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _without(api: str, field: str) -> Refused:
    return Refused(Reason.BAD_REQUEST, f"invalid {api} request: must have {field} field")
