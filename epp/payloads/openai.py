"""OpenAI chat completions, completions and embeddings: what the engine will see as the prompt."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from epp.payloads.document import dump_json
from epp.payloads.payload import Payload
from epp.payloads.prompt import (
    MAX_PIECES,
    Media,
    add_content,
    pack_tokens,
    payload_of,
    rest_of,
    unbuilt_list,
    url_of,
    utf8,
    whole_number,
    without,
)


def read_chat(document: dict[str, Any]) -> Payload:
    """Raises Refused without messages."""
    messages = document.get("messages")
    prompt, media = bytearray(), Media()
    if tools := document.get("tools"):
        prompt += dump_json(tools)
    if isinstance(messages, list) and messages:
        for message in messages[:MAX_PIECES]:
            if not isinstance(message, dict):
                raise without("chat completions", "valid messages")
            _add_message(message, prompt, media)
        prompt += rest_of(messages)
    elif (unbuilt := unbuilt_list(messages)) is not None:
        prompt += unbuilt
    else:
        raise without("chat completions", "valid messages")
    limit = whole_number(document.get("max_completion_tokens"))
    if limit is None:
        limit = whole_number(document.get("max_tokens"))
    return payload_of("chat-completions", document, bytes(prompt), media, limit)


def read_completions(document: dict[str, Any]) -> Payload:
    """Raises Refused without a prompt."""
    prompt = _prompt_of(document.get("prompt"))
    if prompt is None:
        raise without("completions", "prompt")
    limit = whole_number(document.get("max_tokens"))
    return payload_of("completions", document, prompt, Media(), limit)


def read_embeddings(document: dict[str, Any]) -> Payload:
    """Raises Refused without input. Engines take the messages of a chat in its place."""
    if document.get("input") is None and document.get("messages"):
        return replace(read_chat(document), api="embeddings", max_output_tokens=None)
    prompt = _prompt_of(document.get("input"))
    if prompt is None:
        raise without("embeddings", "input")
    return payload_of("embeddings", document, prompt, Media(), None)


def _prompt_of(given: object) -> bytes | None:
    """One prompt, or several one after the other; each is text or a list of token ids."""
    if isinstance(given, str):
        return utf8(given) or None
    if not isinstance(given, list) or not given:
        return unbuilt_list(given)
    tokens = pack_tokens(given)
    if tokens is not None:
        return tokens
    pieces: list[bytes] = []
    for part in given[:MAX_PIECES]:
        if isinstance(part, str):
            pieces.append(utf8(part))
        elif isinstance(part, list):
            pieces.append(pack_tokens(part) or b"")
        elif isinstance(part, dict):
            pieces.append(dump_json(part))
    pieces.append(rest_of(given))
    return b"".join(pieces)


def _add_message(message: dict[str, Any], prompt: bytearray, media: Media) -> None:
    """Adds role, content and tool calls."""
    role = message.get("role")
    if isinstance(role, str):
        prompt += utf8(role)
    add_content(message.get("content"), prompt, media, _add_part)
    if calls := message.get("tool_calls"):
        prompt += dump_json(calls)


def _add_part(part: object, prompt: bytearray, media: Media) -> None:
    if isinstance(part, str):
        prompt += utf8(part)
        return
    if isinstance(part, dict):
        match part.get("type"):
            case "text" | "refusal" as kind if isinstance(text := part.get(kind), str):
                prompt += utf8(text)
                return
            case "image_url" if (url := url_of(part.get("image_url"))) is not None:
                media.add_image(url, prompt)
                return
            case "video_url" if (url := url_of(part.get("video_url"))) is not None:
                media.add_video(url, prompt)
                return
    media.add_other(part, prompt)
