"""OpenAI responses and conversations: both consist of items, of which a message is one kind."""

from __future__ import annotations

from typing import Any, Final

from epp.payloads.document import dump_json
from epp.payloads.payload import Payload
from epp.payloads.prompt import (
    MAX_PIECES,
    Media,
    add_content,
    payload_of,
    rest_of,
    unbuilt_list,
    url_of,
    utf8,
    whole_number,
    without,
    written,
)

# Of an item that is written as JSON. Engines do not show them to the model, and a client that
# tells a conversation anew may make them up anew.
UNSEEN: Final = frozenset({"id", "status"})


def read_responses(document: dict[str, Any]) -> Payload:
    """Raises Refused without input. What a server remembers comes before the new items."""
    given = document.get("input")
    if given is None:
        raise without("responses", "input")
    prompt, media = bytearray(written(document.get("instructions"))), Media()
    if tools := document.get("tools"):
        prompt += dump_json(tools)
    prompt += written(document.get("previous_response_id"))
    prompt += written(document.get("conversation"))
    if isinstance(given, str):
        prompt += b"user" + utf8(given)  # as engines make a message of it
    elif isinstance(given, list):
        _add_items(given, prompt, media)
    else:
        prompt += dump_json(given)
    limit = whole_number(document.get("max_output_tokens"))
    return payload_of("responses", document, bytes(prompt), media, limit)


def read_conversations(document: dict[str, Any]) -> Payload:
    """Raises Refused without items. This API names no model."""
    items = document.get("items")
    prompt, media = bytearray(), Media()
    if isinstance(items, list) and items:
        _add_items(items, prompt, media)
    elif (unbuilt := unbuilt_list(items)) is not None:
        prompt += unbuilt
    else:
        raise without("conversations", "items")
    named = bool(document.get("model"))
    return payload_of("conversations", document, bytes(prompt), media, None, can_rewrite=named)


def _add_items(items: list[Any], prompt: bytearray, media: Media) -> None:
    for item in items[:MAX_PIECES]:
        _add_item(item, prompt, media)
    prompt += rest_of(items)


def _add_item(item: object, prompt: bytearray, media: Media) -> None:
    if not isinstance(item, dict):
        prompt += written(item)
        return
    match item.get("type") or "message":
        case "message":
            prompt += written(item.get("role"))
            add_content(item.get("content"), prompt, media, _add_part)
        case "function_call":
            prompt += written(item.get("name")) + written(item.get("arguments"))
        case "function_call_output":
            add_content(item.get("output"), prompt, media, _add_part)
        case "reasoning":
            shown = item.get("content") or item.get("summary")
            add_content(shown, prompt, media, _add_part)
        case _:
            prompt += dump_json({key: item[key] for key in item if key not in UNSEEN})


def _add_part(part: object, prompt: bytearray, media: Media) -> None:
    """Whatever its type, a part with a text is that text."""
    if isinstance(part, str):
        prompt += utf8(part)
        return
    if isinstance(part, dict):
        kind = part.get("type")
        if isinstance(text := part.get("refusal" if kind == "refusal" else "text"), str):
            prompt += utf8(text)
            return
        if (url := url_of(part.get("image_url"))) is not None:
            media.add_image(url, prompt)
            return
        if (url := url_of(part.get("video_url"))) is not None:
            media.add_video(url, prompt)
            return
    media.add_other(part, prompt)
