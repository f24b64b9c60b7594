"""OpenAI chat completions and completions: what the engine will see as the prompt."""

from __future__ import annotations

import struct
from typing import Any, Final

from epp.core.refusal import Reason, Refused
from epp.payloads.document import dump_json
from epp.payloads.media import VIDEO_TOKENS, image_tokens, placeholder
from epp.payloads.payload import BYTES_PER_TOKEN, Payload, estimate_tokens, model_of, streams

# Beyond this much prompt, media only count; a small body can name very many of them.
MAX_BYTES_WITH_MEDIA: Final = 4 << 20


def read_chat(document: dict[str, Any]) -> Payload:
    """Raises Refused without messages."""
    messages = document.get("messages")
    prompt = bytearray()
    unwritten_tokens = 0
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
            unwritten_tokens += _add_message(message, prompt)
    limit = _whole(document.get("max_completion_tokens"))
    if limit is None:
        limit = _whole(document.get("max_tokens"))
    return _payload("chat-completions", document, bytes(prompt), unwritten_tokens, limit)


def read_completions(document: dict[str, Any]) -> Payload:
    """Raises Refused without a prompt."""
    prompt = document.get("prompt")
    if isinstance(prompt, bytes) and prompt.startswith(b"["):
        text = prompt
    elif isinstance(prompt, (str, list)) and prompt:
        text = _completion_prompt(prompt)
    else:
        raise _without("completions", "prompt")
    return _payload("completions", document, text, 0, _whole(document.get("max_tokens")))


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


def _add_message(message: dict[str, Any], prompt: bytearray) -> int:
    """Adds role, content and tool calls. Returns the tokens of media that found no room."""
    role = message.get("role")
    if isinstance(role, str):
        prompt += _utf8(role)
    content = message.get("content")
    unwritten_tokens = 0
    if isinstance(content, str):
        prompt += _utf8(content)
    elif isinstance(content, list):
        for part in content:
            unwritten_tokens += _add_part(part, prompt)
    elif content is not None:
        prompt += dump_json(content)
    if calls := message.get("tool_calls"):
        prompt += dump_json(calls)
    return unwritten_tokens


def _add_part(part: object, prompt: bytearray) -> int:
    if isinstance(part, str):
        prompt += _utf8(part)
        return 0
    if isinstance(part, dict):
        match part.get("type"):
            case "text" | "refusal" as kind if isinstance(text := part.get(kind), str):
                prompt += _utf8(text)
                return 0
            case "image_url" if (url := _url(part.get("image_url"))) is not None:
                return _add_medium(url, image_tokens(url), prompt)
            case "video_url" if (url := _url(part.get("video_url"))) is not None:
                return _add_medium(url, VIDEO_TOKENS, prompt)
    prompt += dump_json(part)  # audio too: four characters of its data are a token
    return 0


def _url(value: object) -> str | None:
    if isinstance(value, dict):
        value = value.get("url")
    return value if isinstance(value, str) else None


def _add_medium(url: str, tokens: int, prompt: bytearray) -> int:
    """Placeholders begin at a whole token, so that equal media give equal blocks."""
    prompt += bytes(-len(prompt) % BYTES_PER_TOKEN)
    room = max(0, MAX_BYTES_WITH_MEDIA - len(prompt)) // BYTES_PER_TOKEN
    prompt += placeholder(url, min(tokens, room))
    return max(0, tokens - room)


def _payload(
    api: str, document: dict[str, Any], prompt: bytes, unwritten_tokens: int, limit: int | None
) -> Payload:
    salt = document.get("cache_salt")
    return Payload(
        api=api,
        model=model_of(document),
        streaming=streams(document),
        prompt=prompt,
        prompt_tokens=estimate_tokens(len(prompt)) + unwritten_tokens,
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
