"""OpenAI chat completions and completions: what the engine will see as the prompt."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any

import orjson

from epp.core.refusal import Reason, Refused
from epp.payloads.payload import BYTES_PER_TOKEN, Payload, estimate_tokens, model_of

IMAGE_TOKENS = 225  # 640 x 360 pixels at 1024 a token, what the field assumes of an unknown image


def read_chat(document: dict[str, Any]) -> Payload:
    messages = document.get("messages")
    if isinstance(messages, bytes):  # too deep to be built: the engine may still take it
        return _payload("chat-completions", document, messages, _chat_limit(document))
    if not isinstance(messages, list) or not messages:
        raise _invalid("chat completions", "valid messages")
    pieces: list[bytes] = []
    media_tokens = 0
    if tools := document.get("tools"):
        pieces.append(tools if isinstance(tools, bytes) else orjson.dumps(tools))
    for message in messages:
        if not isinstance(message, dict):
            raise _invalid("chat completions", "valid messages")
        role = message.get("role")
        if isinstance(role, str):
            pieces.append(_utf8(role))
        media_tokens += _add_content(message.get("content"), pieces)
        if calls := message.get("tool_calls"):
            pieces.append(_json(calls))
    prompt = b"".join(pieces)
    payload = _payload("chat-completions", document, prompt, _chat_limit(document))
    payload.prompt_tokens += media_tokens
    return payload


def read_completions(document: dict[str, Any]) -> Payload:
    prompt = document.get("prompt")
    text = _completion_prompt(prompt)
    if not text:
        raise _invalid("completions", "prompt")
    return _payload("completions", document, text, _whole(document.get("max_tokens")))


def _completion_prompt(prompt: object) -> bytes:
    """Token ids count as they are, four bytes each, so that one rule serves text and tokens."""
    if isinstance(prompt, str):
        return _utf8(prompt)
    if isinstance(prompt, bytes):
        return prompt
    if not isinstance(prompt, list):
        return b""
    if prompt and all(type(token) is int and 0 <= token < 1 << 32 for token in prompt):
        return struct.pack(f"<{len(prompt)}I", *prompt)
    return b"".join(_completion_prompt(part) for part in prompt)


def _add_content(content: object, pieces: list[bytes]) -> int:
    """Adds the text of a message's content. Returns the tokens of what is not text."""
    if isinstance(content, str):
        pieces.append(_utf8(content))
        return 0
    if not isinstance(content, list):
        if content is not None:
            pieces.append(_json(content))
        return 0
    return sum(_add_part(part, pieces) for part in content)


def _add_part(part: object, pieces: list[bytes]) -> int:
    if not isinstance(part, dict):
        pieces.append(_json(part))
        return 0
    match part.get("type"):
        case "text" | "input_text" | "refusal":
            pieces.extend(_texts(part, ("text", "refusal")))
            return 0
        case "image_url" | "input_image":
            pieces.append(_json(part.get("image_url")))
            return IMAGE_TOKENS - len(pieces[-1]) // BYTES_PER_TOKEN
        case _:
            pieces.append(_json(part))
            return 0


def _texts(part: dict[str, Any], keys: Iterable[str]) -> Iterable[bytes]:
    return (_utf8(text) for key in keys if isinstance(text := part.get(key), str))


def _payload(api: str, document: dict[str, Any], prompt: bytes, limit: int | None) -> Payload:
    salt = document.get("cache_salt")
    return Payload(
        api=api,
        model=model_of(document),
        streaming=document.get("stream") is True,
        prompt=prompt,
        prompt_tokens=estimate_tokens(prompt),
        max_output_tokens=limit,
        cache_salt=salt if isinstance(salt, str) else "",
        can_rewrite=True,
    )


def _chat_limit(document: dict[str, Any]) -> int | None:
    limit = _whole(document.get("max_completion_tokens"))
    return _whole(document.get("max_tokens")) if limit is None else limit


def _whole(value: object) -> int | None:
    """A limit counts only if it is a whole number that is not negative."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return int(value) if value >= 0 and value == value // 1 and value < 1 << 53 else None


def _json(value: object) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError:  # a number that orjson does not write, or text with a lone surrogate
        return _utf8(repr(value))


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _invalid(api: str, field: str) -> Refused:
    return Refused(Reason.BAD_REQUEST, f"invalid {api} request: must have {field} field")
