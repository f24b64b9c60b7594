from __future__ import annotations

from typing import Any

import pytest

from epp.core.refusal import Reason, Refused
from epp.payloads.anthropic import read_messages
from epp.payloads.media import placeholder
from epp.payloads.openai import read_chat
from epp.payloads.payload import Payload
from epp.payloads.prompt import MAX_PIECES

MARK = {"cache_control": {"type": "ephemeral"}}
PNG = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}


def user(content: object) -> dict[str, Any]:
    return {"role": "user", "content": content}


def text(content: str, **fields: object) -> dict[str, Any]:
    return {"type": "text", "text": content, **fields}


def prompt_of(*blocks: object) -> bytes:
    return read_messages({"model": "m", "messages": [user(list(blocks))]}).prompt


def test_a_request_with_all_that_counts() -> None:
    document = {
        "model": "m",
        "max_tokens": 5,
        "stream": True,
        "cache_salt": "s",
        "system": "Be brief.",
        "tools": [{"name": "f", "input_schema": {}}],
        "metadata": {"user_id": "somebody"},
        "messages": [user("Hello"), {"role": "assistant", "content": [text("Hi")]}],
    }
    prompt = b'{"name":"f","input_schema":{}}Be brief.userHelloassistantHi'
    assert read_messages(document) == Payload(
        api="messages",
        model="m",
        streaming=True,
        prompt=prompt,
        prompt_tokens=-(-len(prompt) // 4),
        max_output_tokens=5,
        cache_salt="s",
        can_rewrite=True,
    )


@pytest.mark.parametrize(
    ("block", "prompt"),
    [
        pytest.param(text("a"), b"usera", id="text"),
        pytest.param(
            {"type": "thinking", "thinking": "hm", "signature": "x"}, b"userhm", id="thinking"
        ),
        pytest.param({"type": "redacted_thinking", "data": "x"}, b"user", id="hidden-thinking"),
        pytest.param(
            {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": 1}},
            b'userf{"a":1}',
            id="call",
        ),
        pytest.param({"type": "tool_result", "content": "rain"}, b"userrain", id="result"),
        pytest.param({"type": "tool_result"}, b"user", id="result-of-nothing"),
        pytest.param(
            {"type": "tool_result", "content": [text("rain", **MARK), {"type": "x", **MARK}]},
            b'userrain{"type":"x"}',
            id="result-in-blocks",
        ),
        pytest.param(
            {"type": "document", "title": "t", **MARK},
            b'user{"type":"document","title":"t"}',
            id="other",
        ),
        pytest.param({"type": "text"}, b'user{"type":"text"}', id="text-without-text"),
        pytest.param(
            {"type": "image", "source": {}}, b'user{"type":"image","source":{}}', id="no-image"
        ),
        pytest.param("bare", b"userbare", id="bare-text"),
        pytest.param(7, b"user7", id="number"),
    ],
)
def test_what_a_block_says_to_the_model(block: object, prompt: bytes) -> None:
    assert prompt_of(block) == prompt


def test_images_are_the_same_as_in_a_chat() -> None:
    image = {"type": "image", "source": PNG}
    url = f"data:image/png;base64,{PNG['data']}"
    in_a_chat = {"type": "image_url", "image_url": {"url": url}}
    assert (
        prompt_of(text("look"), image)
        == read_chat({"messages": [user([text("look"), in_a_chat])]}).prompt
    )
    by_url = {"type": "image", "source": {"type": "url", "url": "https://example.com/y.png"}}
    payload = read_messages({"messages": [user([by_url])]})
    assert payload.prompt == b"user" + placeholder("https://example.com/y.png", 225)
    assert (payload.prompt_tokens, payload.media_tokens) == (226, 225)
    assert prompt_of({"type": "tool_result", "content": [image]}) == prompt_of(image)


def test_where_the_client_wants_it_cached_makes_no_difference() -> None:
    def ask(marks: dict[str, object]) -> bytes:
        document = {
            "system": [text("s", **marks)],
            "tools": [{"name": "f", **marks}],
            "messages": [user([text("a", **marks), {"type": "tool_use", "input": {}, **marks}])],
        }
        return read_messages(document).prompt

    assert ask(MARK) == ask({}) == b'{"name":"f"}susera{}'


def test_what_is_billed_to_whom_is_not_part_of_the_prompt() -> None:
    system = [text("x-anthropic-billing-header: cch=7f3a1"), text("Be brief.")]
    assert read_messages({"system": system, "messages": [user("a")]}).prompt == b"Be brief.usera"
    in_the_chat = [text("x-anthropic-billing-header is a header")]
    assert read_messages({"messages": [user(in_the_chat)]}).prompt.endswith(b"is a header")


def test_messages_too_deep_to_be_built_are_the_prompt_as_they_are() -> None:
    assert read_messages({"system": "s", "messages": b"[[[]]]"}).prompt == b"s[[[]]]"


def test_odd_messages_are_for_the_engine_to_judge() -> None:
    document = {"tools": {"a": 1}, "system": 7, "messages": ["a", {"role": None}, None]}
    assert read_messages(document).prompt == b'{"a":1}7a'


@pytest.mark.parametrize("messages", [None, [], "x", {}, 7, b"{}"], ids=repr)
def test_at_least_one_message_is_needed(messages: object) -> None:
    with pytest.raises(Refused) as caught:
        read_messages({"model": "m", "messages": messages})
    assert caught.value.reason is Reason.BAD_REQUEST
    assert caught.value.detail == "invalid messages request: must have at least one message"


def test_very_many_tools_and_texts_of_the_system_prompt_are_written_as_json() -> None:
    tools, system = [{"name": "f"}] * (MAX_PIECES + 1), [text("s")] * (MAX_PIECES + 1)
    prompt = read_messages({"tools": tools, "system": system, "messages": [user("a")]}).prompt
    assert prompt.startswith(b'{"name":"f"}' * MAX_PIECES + b'[{"name":"f"}][{"type":"text"')
    assert prompt.endswith(b'{"type":"text","text":"s"}]usera')
