from __future__ import annotations

import struct
from typing import Any

import pytest

from epp.core.refusal import Reason, Refused
from epp.payloads.media import VIDEO_TOKENS, placeholder
from epp.payloads.openai import read_chat, read_completions, read_embeddings
from epp.payloads.payload import Payload
from epp.payloads.prompt import MAX_BYTES_WITH_MEDIA

IMAGE = {"type": "image_url", "image_url": {"url": "https://example.com/y.png"}}
VIDEO = {"type": "video_url", "video_url": {"url": "https://example.com/y.mp4"}}


def chat(*messages: object, **fields: object) -> dict[str, Any]:
    return {"model": "m", "messages": list(messages), **fields}


def user(content: object) -> dict[str, object]:
    return {"role": "user", "content": content}


def text(content: str) -> dict[str, str]:
    return {"type": "text", "text": content}


def test_chat() -> None:
    document = chat(
        {"role": "system", "content": "Be brief."}, user("Hello"), stream=True, cache_salt="s"
    )
    assert read_chat(document) == Payload(
        api="chat-completions",
        model="m",
        streaming=True,
        prompt=b"systemBe brief.userHello",
        prompt_tokens=6,
        max_output_tokens=None,
        cache_salt="s",
        can_rewrite=True,
    )


@pytest.mark.parametrize(
    ("message", "prompt"),
    [
        pytest.param(user("Grüß"), "userGrüß".encode(), id="text"),
        pytest.param(user([text("a"), text("b")]), b"userab", id="text-parts"),
        pytest.param(user(["a", "b"]), b"userab", id="bare-texts"),
        pytest.param(user([{"type": "refusal", "refusal": "no"}]), b"userno", id="refusal"),
        pytest.param(user(None), b"user", id="null-content"),
        pytest.param({"content": "x"}, b"x", id="no-role"),
        pytest.param({"role": None, "content": "x"}, b"x", id="null-role"),
        pytest.param(user({"a": 7}), b'user{"a":7}', id="object-content"),
        pytest.param(user([7, None]), b"user7null", id="odd-parts"),
        pytest.param(user([{"type": "text"}]), b'user{"type":"text"}', id="text-without-text"),
        pytest.param(
            user([{"type": "image_url"}]), b'user{"type":"image_url"}', id="image-without-url"
        ),
        pytest.param(
            {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]},
            b'assistant[{"id":"1"}]',
            id="tool-calls",
        ),
        pytest.param(user("\ud800"), b"user\xed\xa0\x80", id="lone-surrogate"),
    ],
)
def test_the_prompt_of_a_message(message: object, prompt: bytes) -> None:
    payload = read_chat(chat(message))
    assert payload.prompt == prompt
    assert payload.prompt_tokens == -(-len(prompt) // 4)


def test_tools_come_first_as_the_engine_sees_them() -> None:
    payload = read_chat(chat(user("Hi"), tools=[{"type": "function", "n": 2**64}]))
    assert payload.prompt == b'[{"type":"function","n":18446744073709551616}]userHi'


def test_an_image_begins_at_a_token_and_counts_as_what_it_costs() -> None:
    payload = read_chat(chat(user([text("look!"), IMAGE, text("nice")])))
    expected = b"userlook!" + b"\0\0\0" + placeholder("https://example.com/y.png", 225) + b"nice"
    assert payload.prompt == expected
    assert payload.prompt_tokens == 3 + 225 + 1
    assert payload.media_tokens == 225


def test_the_url_of_an_image_can_stand_alone() -> None:
    bare = {"type": "image_url", "image_url": "https://example.com/y.png"}
    assert read_chat(chat(user([bare]))).prompt == read_chat(chat(user([IMAGE]))).prompt


def test_video_and_audio_count() -> None:
    assert read_chat(chat(user([VIDEO]))).prompt_tokens == 1 + VIDEO_TOKENS
    audio = {"type": "input_audio", "input_audio": {"data": "A" * 4000, "format": "wav"}}
    assert 1000 <= read_chat(chat(user([audio]))).prompt_tokens < 1030
    assert 1000 <= read_chat(chat(user([text("x" * 4000), audio]))).media_tokens < 1030
    assert read_chat(chat(user([VIDEO, VIDEO]))).media_tokens == 2 * VIDEO_TOKENS
    assert read_chat(chat(user([text("x" * 4000)]))).media_tokens == 0


def test_very_many_images_count_but_are_not_written_out() -> None:
    payload = read_chat(chat(user([IMAGE] * 10_000)))
    assert len(payload.prompt) == MAX_BYTES_WITH_MEDIA
    assert payload.prompt_tokens == 1 + 10_000 * 225
    assert payload.media_tokens == 10_000 * 225


def test_messages_too_deep_to_be_built_are_the_prompt_as_they_are() -> None:
    assert read_chat({"model": "m", "messages": b"[[[]]]"}).prompt == b"[[[]]]"


@pytest.mark.parametrize(
    ("fields", "limit"),
    [
        pytest.param({}, None, id="none"),
        pytest.param({"max_tokens": 7}, 7, id="old-name"),
        pytest.param({"max_tokens": 7, "max_completion_tokens": 9}, 9, id="new-name-first"),
        pytest.param({"max_tokens": 7, "max_completion_tokens": -1}, 7, id="negative"),
        pytest.param({"max_tokens": 7.0}, 7, id="whole"),
        pytest.param({"max_tokens": 7.5}, None, id="broken"),
        pytest.param({"max_tokens": True}, None, id="flag"),
        pytest.param({"max_tokens": "7"}, None, id="text"),
        pytest.param({"max_tokens": float("inf")}, None, id="infinity"),
        pytest.param({"max_tokens": float("nan")}, None, id="not-a-number"),
        pytest.param({"max_tokens": 0}, 0, id="zero"),
    ],
)
def test_the_limit_of_a_chat(fields: dict[str, object], limit: int | None) -> None:
    assert read_chat(chat(user("x"), **fields)).max_output_tokens == limit


@pytest.mark.parametrize(
    ("prompt", "expected", "tokens"),
    [
        pytest.param("Hello", b"Hello", 2, id="text"),
        pytest.param(["ab", "cd"], b"abcd", 1, id="texts"),
        pytest.param([""], b"", 0, id="only-an-empty-text"),
        pytest.param(["", "ab"], b"ab", 1, id="an-empty-text"),
        pytest.param([1, 2, 2**32 - 1], struct.pack("<3I", 1, 2, 2**32 - 1), 3, id="token-ids"),
        pytest.param([[1, 2], [3]], struct.pack("<3I", 1, 2, 3), 3, id="lists-of-token-ids"),
        pytest.param(["ab", [1]], b"ab" + struct.pack("<I", 1), 2, id="both"),
        pytest.param([-1, 2**32], b"", 0, id="no-token-ids"),
        pytest.param([[]], b"", 0, id="empty-list-in-it"),
        pytest.param([[[1]]], b"", 0, id="too-many-levels"),
        pytest.param([{"text": "ab"}], b'{"text":"ab"}', 4, id="object"),
        pytest.param(b"[[[1]]]", b"[[[1]]]", 2, id="too-deep-to-be-built"),
    ],
)
def test_completions(prompt: object, expected: bytes, tokens: int) -> None:
    payload = read_completions({"model": "m", "prompt": prompt, "max_tokens": 5})
    assert payload == Payload(
        api="completions",
        model="m",
        prompt=expected,
        prompt_tokens=tokens,
        max_output_tokens=5,
        can_rewrite=True,
    )


@pytest.mark.parametrize(
    "messages", [None, [], "x", {}, 7, ["x"], [None], [[]], b"{}"], ids=lambda value: repr(value)
)
def test_a_chat_needs_messages(messages: object) -> None:
    with pytest.raises(Refused) as caught:
        read_chat({"model": "m", "messages": messages})
    assert caught.value.reason is Reason.BAD_REQUEST
    assert caught.value.detail == (
        "invalid chat completions request: must have valid messages field"
    )


@pytest.mark.parametrize(
    "prompt", [None, "", [], 7, {"a": 1}, True, b"{}"], ids=lambda value: repr(value)
)
def test_completions_need_a_prompt(prompt: object) -> None:
    with pytest.raises(Refused) as caught:
        read_completions({"model": "m", "prompt": prompt})
    assert caught.value.reason is Reason.BAD_REQUEST
    assert caught.value.detail == "invalid completions request: must have prompt field"


@pytest.mark.parametrize(
    ("given", "prompt", "tokens"),
    [
        pytest.param("Hello", b"Hello", 2, id="text"),
        pytest.param(["ab", "cd"], b"abcd", 1, id="texts"),
        pytest.param([1, 2], struct.pack("<2I", 1, 2), 2, id="token-ids"),
        pytest.param([[1, 2], [3]], struct.pack("<3I", 1, 2, 3), 3, id="lists-of-token-ids"),
        pytest.param(b"[[[1]]]", b"[[[1]]]", 2, id="too-deep-to-be-built"),
    ],
)
def test_embeddings(given: object, prompt: bytes, tokens: int) -> None:
    document = {"model": "m", "input": given, "dimensions": 64, "max_tokens": 5}
    assert read_embeddings(document) == Payload(
        api="embeddings", model="m", prompt=prompt, prompt_tokens=tokens, can_rewrite=True
    )


def test_an_embedding_can_be_of_a_chat() -> None:
    payload = read_embeddings(chat(user("Hello"), max_tokens=5))
    assert payload == Payload(
        api="embeddings", model="m", prompt=b"userHello", prompt_tokens=3, can_rewrite=True
    )


@pytest.mark.parametrize("given", [None, "", [], 7, {"a": 1}, True, b"{}"], ids=repr)
def test_embeddings_need_input(given: object) -> None:
    with pytest.raises(Refused) as caught:
        read_embeddings({"model": "m", "input": given})
    assert caught.value.reason is Reason.BAD_REQUEST
    assert caught.value.detail == "invalid embeddings request: must have input field"
