import json
from collections.abc import Callable

import pytest

from epp.simulation import tokens
from epp.simulation.openai_requests import ApiError, Generate, parse_chat, parse_completion

CHAT = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
TEXT = {"model": "m", "prompt": "hello"}


def chat(**fields: object) -> Generate:
    return parse_chat(json.dumps(CHAT | fields).encode())


def completion(**fields: object) -> Generate:
    return parse_completion(json.dumps(TEXT | fields).encode())


def test_chat_defaults() -> None:
    call = chat()
    assert call == Generate(
        chat=True,
        model="m",
        prompt=tokens.render_chat([("user", "hello")]),
        max_output_tokens=None,
        ignore_eos=False,
        stream=False,
        include_usage=False,
        cache_salt="",
    )


def test_completions_default_to_sixteen_tokens() -> None:
    call = completion()
    assert (call.chat, call.max_output_tokens) == (False, 16)
    assert call.prompt == tokens.encode("hello")


@pytest.mark.parametrize(
    ("fields", "limit"),
    [
        pytest.param({"max_tokens": 5}, 5, id="old name"),
        pytest.param({"max_completion_tokens": 6}, 6, id="new name"),
        pytest.param({"max_tokens": 5, "max_completion_tokens": 6}, 6, id="both"),
        pytest.param({"max_tokens": None}, None, id="null"),
    ],
)
def test_chat_token_limit(fields: dict[str, object], limit: int | None) -> None:
    assert chat(**fields).max_output_tokens == limit


@pytest.mark.parametrize(
    "prompt",
    [pytest.param([1, 2, 3], id="ids"), pytest.param([[1, 2, 3]], id="one prompt of ids")],
)
def test_prompts_may_be_token_ids(prompt: list[object]) -> None:
    assert list(completion(prompt=prompt).prompt) == [1, 2, 3]


def test_parts_of_a_message_are_one_text() -> None:
    parts = [{"type": "text", "text": "hel"}, {"type": "text", "text": "lo"}]
    assert chat(messages=[{"role": "user", "content": parts}]).prompt == chat().prompt


def test_tools_come_before_the_conversation() -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]
    with_tools = chat(tools=tools).prompt
    assert with_tools[-len(chat().prompt) :] == chat().prompt
    assert len(with_tools) > len(chat().prompt)


def test_streams_may_ask_for_usage() -> None:
    assert chat(stream=True, stream_options={"include_usage": True}).include_usage


@pytest.mark.parametrize(
    ("parse", "body", "param"),
    [
        pytest.param(parse_chat, b"{", None, id="no JSON"),
        pytest.param(parse_chat, b"[]", None, id="no object"),
        pytest.param(parse_chat, b"{}", "messages", id="no messages"),
        pytest.param(parse_chat, b'{"messages": []}', "messages", id="empty messages"),
        pytest.param(parse_chat, b'{"messages": [{"content": "x"}]}', "messages", id="no role"),
        pytest.param(
            parse_chat, b'{"messages": [{"role": "user", "content": 1}]}', "messages", id="content"
        ),
        pytest.param(
            parse_chat,
            b'{"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}',
            "messages",
            id="image",
        ),
        pytest.param(parse_completion, b'{"prompt": ""}', "prompt", id="empty prompt"),
        pytest.param(parse_completion, b'{"prompt": ["a", "b"]}', "prompt", id="two prompts"),
        pytest.param(parse_completion, b'{"prompt": [-1]}', "prompt", id="negative id"),
        pytest.param(parse_completion, b'{"prompt": [4294967296]}', "prompt", id="large id"),
        pytest.param(parse_completion, b'{"prompt": [true]}', "prompt", id="boolean id"),
        pytest.param(parse_completion, b'{"prompt": "x", "n": 2}', "n", id="two choices"),
        pytest.param(
            parse_completion, b'{"prompt": "x", "max_tokens": 0}', "max_tokens", id="no tokens"
        ),
        pytest.param(
            parse_completion, b'{"prompt": "x", "max_tokens": "9"}', "max_tokens", id="text limit"
        ),
        pytest.param(parse_completion, b'{"prompt": "x", "stream": 1}', "stream", id="flag"),
        pytest.param(parse_completion, b'{"prompt": "x", "model": 1}', "model", id="model"),
        pytest.param(
            parse_completion,
            b'{"prompt": "x", "stream_options": {}}',
            "stream_options",
            id="options without stream",
        ),
    ],
)
def test_bad_bodies_are_refused_by_field(
    parse: Callable[[bytes], Generate], body: bytes, param: str | None
) -> None:
    with pytest.raises(ApiError) as caught:
        parse(body)
    assert (caught.value.status, caught.value.param) == (400, param)
