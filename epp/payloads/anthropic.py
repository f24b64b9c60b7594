"""Anthropic messages: system prompt, tools and blocks of content, as engines make a chat of them.

Where a client wants the prompt cached is not written: it moves that mark on with every turn.
"""

from __future__ import annotations

from typing import Any, Final

from epp.core.refusal import Reason, Refused
from epp.payloads.document import dump_json
from epp.payloads.payload import Payload
from epp.payloads.prompt import (
    MAX_PIECES,
    Media,
    add_content,
    payload_of,
    rest_of,
    unbuilt_list,
    utf8,
    whole_number,
    written,
)

CACHE_MARK: Final = "cache_control"
# A text of the system prompt that begins so is different in every request; engines drop it.
BILLING: Final = "x-anthropic-billing-header"


def read_messages(document: dict[str, Any]) -> Payload:
    """Raises Refused without messages."""
    messages = document.get("messages")
    prompt, media = bytearray(), Media()
    tools = document.get("tools")
    if isinstance(tools, list):
        for tool in tools[:MAX_PIECES]:
            prompt += _unmarked(tool)
        prompt += rest_of(tools)
    else:
        prompt += written(tools)
    _add_system(document.get("system"), prompt, media)
    if isinstance(messages, list) and messages:
        for message in messages[:MAX_PIECES]:
            if isinstance(message, dict):
                prompt += written(message.get("role"))
                add_content(message.get("content"), prompt, media, _add_block)
            else:
                prompt += written(message)
        prompt += rest_of(messages)
    elif (unbuilt := unbuilt_list(messages)) is not None:
        prompt += unbuilt
    else:
        detail = "invalid messages request: must have at least one message"
        raise Refused(Reason.BAD_REQUEST, detail)
    limit = whole_number(document.get("max_tokens"))
    return payload_of("messages", document, bytes(prompt), media, limit)


def _add_system(system: object, prompt: bytearray, media: Media) -> None:
    if not isinstance(system, list) or not media.takes(system):
        prompt += written(system)
        return
    for block in system:
        text = block.get("text") if isinstance(block, dict) else None
        if not isinstance(text, str) or not text.startswith(BILLING):
            _add_block(block, prompt, media)


def _add_block(block: object, prompt: bytearray, media: Media) -> None:
    if not isinstance(block, dict):
        prompt += written(block)
        return
    match block.get("type"):
        case "text" | "thinking" as kind if isinstance(text := block.get(kind), str):
            prompt += utf8(text)
        case "image" if (url := _url_of(block.get("source"))) is not None:
            media.add_image(url, prompt)
        case "tool_use":
            prompt += written(block.get("name")) + written(block.get("input"))
        case "tool_result":
            _add_result(block.get("content"), prompt, media)
        case "redacted_thinking":
            pass  # no engine can read it
        case _:
            prompt += _unmarked(block)


def _add_result(content: object, prompt: bytearray, media: Media) -> None:
    """What a tool said: blocks of text and images, and no further results."""
    add_content(content, prompt, media, _add_piece_of_result)


def _add_piece_of_result(block: object, prompt: bytearray, media: Media) -> None:
    if isinstance(block, dict) and block.get("type") in ("text", "image"):
        _add_block(block, prompt, media)
    else:
        prompt += _unmarked(block)


def _url_of(source: object) -> str | None:
    """The same as in a chat, so that an image is the same one in both."""
    if not isinstance(source, dict):
        return None
    data = source.get("data")
    if isinstance(data, str):
        return f"data:{source.get('media_type', 'image/jpeg')};base64,{data}"
    url = source.get("url")
    return url if isinstance(url, str) else None


def _unmarked(value: object) -> bytes:
    if isinstance(value, dict) and CACHE_MARK in value:
        value = {key: value[key] for key in value if key != CACHE_MARK}
    return dump_json(value)
