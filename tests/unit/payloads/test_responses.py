from __future__ import annotations

from typing import Any

import pytest

from epp.core.refusal import Reason, Refused
from epp.payloads.media import VIDEO_TOKENS, placeholder
from epp.payloads.payload import Payload
from epp.payloads.responses import read_conversations, read_responses

URL = "https://example.com/y.png"
CALL = {
    "type": "function_call",
    "id": "fc_1",
    "call_id": "call_1",
    "name": "weather",
    "arguments": '{"city":"Ulm"}',
    "status": "completed",
}


def user(content: object, **fields: object) -> dict[str, Any]:
    return {"role": "user", "content": content, **fields}


def prompt_of(*items: object) -> bytes:
    return read_responses({"model": "m", "input": list(items)}).prompt


def test_a_response_with_all_that_counts() -> None:
    document = {
        "model": "m",
        "input": "Hello",
        "instructions": "Be brief.",
        "tools": [{"type": "function", "name": "f"}],
        "stream": True,
        "max_output_tokens": 5,
        "max_tokens": 7,
        "cache_salt": "s",
        "metadata": {"turn": "1"},
    }
    prompt = b'Be brief.[{"type":"function","name":"f"}]userHello'
    assert read_responses(document) == Payload(
        api="responses",
        model="m",
        streaming=True,
        prompt=prompt,
        prompt_tokens=-(-len(prompt) // 4),
        max_output_tokens=5,
        cache_salt="s",
        can_rewrite=True,
    )


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("Hello", id="text"),
        pytest.param([{"type": "input_text", "text": "Hello"}], id="input-text"),
        pytest.param([{"type": "text", "text": "Hel"}, "lo"], id="other-texts"),
    ],
)
def test_a_message_is_the_same_in_every_spelling(content: object) -> None:
    assert prompt_of(user(content)) == b"userHello"
    assert prompt_of(user(content, type="message", id="msg_1", status="completed")) == b"userHello"
    assert read_responses({"input": "Hello"}).prompt == b"userHello"


@pytest.mark.parametrize(
    ("item", "prompt"),
    [
        pytest.param(CALL, b'weather{"city":"Ulm"}', id="call"),
        pytest.param(
            {"type": "function_call_output", "call_id": "call_1", "output": "rain"},
            b"rain",
            id="output",
        ),
        pytest.param(
            {"type": "function_call_output", "output": [{"type": "input_text", "text": "rain"}]},
            b"rain",
            id="output-in-parts",
        ),
        pytest.param(
            {
                "type": "reasoning",
                "id": "rs_1",
                "content": [{"type": "reasoning_text", "text": "a"}],
            },
            b"a",
            id="reasoning",
        ),
        pytest.param(
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "b"}]},
            b"b",
            id="summary",
        ),
        pytest.param(
            {
                "type": "message",
                "role": "assistant",
                "content": [
                    {"type": "output_text", "text": "c"},
                    {"type": "refusal", "refusal": "d"},
                ],
            },
            b"assistantcd",
            id="answer",
        ),
        pytest.param(
            {"type": "item_reference", "id": "x", "status": None, "server_label": "s"},
            b'{"type":"item_reference","server_label":"s"}',
            id="another-kind",
        ),
        pytest.param({"type": None, "role": "user", "content": None}, b"user", id="nulls"),
        pytest.param("bare", b"bare", id="text"),
        pytest.param(7, b"7", id="number"),
    ],
)
def test_what_an_item_says_to_the_model(item: object, prompt: bytes) -> None:
    assert prompt_of(item) == prompt


def test_an_image_is_the_same_in_every_spelling_and_counts() -> None:
    document = {"input": [user([{"type": "input_text", "text": "look"}, {"image_url": URL}])]}
    payload = read_responses(document)
    assert payload.prompt == b"userlook" + placeholder(URL, 225)
    assert (payload.prompt_tokens, payload.media_tokens) == (2 + 225, 225)
    as_in_a_chat = {"type": "image_url", "image_url": {"url": URL}}
    as_in_responses = {"type": "input_image", "image_url": URL, "detail": "auto"}
    assert prompt_of(user([as_in_a_chat])) == prompt_of(user([as_in_responses]))
    video = read_responses({"input": [user([{"type": "video_url", "video_url": {"url": URL}}])]})
    assert video.media_tokens == VIDEO_TOKENS
    unknown = {"type": "input_image", "file_id": "f"}
    assert prompt_of(user([unknown])) == b'user{"type":"input_image","file_id":"f"}'


def test_what_a_server_remembers_stands_behind_what_all_share_and_before_the_news() -> None:
    def ask(**fields: object) -> bytes:
        return read_responses({"instructions": "i", "input": "x", **fields}).prompt

    assert ask(previous_response_id="resp_1") == b"iresp_1userx"
    assert ask(conversation="conv_1") == b"iconv_1userx"
    assert ask(conversation={"id": "conv_1"}) == b'i{"id":"conv_1"}userx'


@pytest.mark.parametrize(
    ("given", "prompt"),
    [
        pytest.param("", b"user", id="empty-text"),
        pytest.param([], b"", id="no-items"),
        pytest.param({"a": 1}, b'{"a":1}', id="object"),
        pytest.param(b"[[[]]]", b"[[[]]]", id="too-deep-to-be-built"),
    ],
)
def test_odd_input_is_for_the_engine_to_judge(given: object, prompt: bytes) -> None:
    assert read_responses({"model": "m", "input": given}).prompt == prompt


@pytest.mark.parametrize("document", [{}, {"input": None}, {"messages": [user("x")]}])
def test_responses_need_input(document: dict[str, Any]) -> None:
    with pytest.raises(Refused) as caught:
        read_responses(document)
    assert caught.value.reason is Reason.BAD_REQUEST
    assert caught.value.detail == "invalid responses request: must have input field"


def test_a_conversation_is_its_items() -> None:
    assert read_conversations({"items": [user("Hello"), CALL]}) == Payload(
        api="conversations", prompt=b'userHelloweather{"city":"Ulm"}', prompt_tokens=8
    )
    assert read_conversations({"items": b"[[[]]]"}).prompt == b"[[[]]]"


def test_a_conversation_is_rewritten_only_if_it_names_a_model() -> None:
    assert not read_conversations({"items": [user("x")]}).can_rewrite
    assert read_conversations({"items": [user("x")], "model": "m"}).can_rewrite


@pytest.mark.parametrize("items", [None, [], "x", {}, {"a": 1}, 7, b"{}"], ids=repr)
def test_conversations_need_items(items: object) -> None:
    with pytest.raises(Refused) as caught:
        read_conversations({"items": items})
    assert caught.value.reason is Reason.BAD_REQUEST
    assert caught.value.detail == "invalid conversations request: must have items field"
