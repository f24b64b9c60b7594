from __future__ import annotations

import json
import struct

import orjson
import pytest

from epp.core.refusal import Reason, Refused
from epp.payloads.payload import Payload
from epp.payloads.request import read_request, with_model

CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"


def read(path: str, body: object, **headers: str) -> Payload:
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    return read_request(path, {k.replace("_", "-"): v for k, v in headers.items()}, raw)


def chat(*messages: object, **fields: object) -> dict[str, object]:
    return {"model": "m", "messages": list(messages), **fields}


def user(content: object) -> dict[str, object]:
    return {"role": "user", "content": content}


def test_chat() -> None:
    payload = read(
        CHAT,
        chat(
            {"role": "system", "content": "Be brief."},
            user("Hello"),
            stream=True,
            max_tokens=7,
            max_completion_tokens=9,
            cache_salt="s",
        ),
    )
    assert payload == Payload(
        api="chat-completions",
        model="m",
        streaming=True,
        prompt=b"systemBe brief.userHello",
        prompt_tokens=6,
        max_output_tokens=9,
        cache_salt="s",
        can_rewrite=True,
    )


def test_tools_come_first_as_the_engine_sees_them() -> None:
    payload = read(CHAT, chat(user("Hi"), tools=[{"type": "function"}]))
    assert payload.prompt == b'[{"type":"function"}]userHi'


def test_text_parts_are_joined_and_images_cost_tokens() -> None:
    text = {"type": "text", "text": "look"}
    image = {"type": "image_url", "image_url": {"url": "http://x/y.png"}}
    payload = read(CHAT, chat(user([text, image])))
    assert payload.prompt.startswith(b"userlook")
    assert payload.prompt_tokens == pytest.approx(225 + 2, abs=2)


@pytest.mark.parametrize(
    ("prompt", "expected", "tokens"),
    [
        pytest.param("Hello", b"Hello", 2, id="text"),
        pytest.param(["ab", "cd"], b"abcd", 1, id="texts"),
        pytest.param([1, 2, 3], struct.pack("<3I", 1, 2, 3), 3, id="token-ids"),
        pytest.param([[1, 2], [3]], struct.pack("<3I", 1, 2, 3), 3, id="lists-of-token-ids"),
    ],
)
def test_completions(prompt: object, expected: bytes, tokens: int) -> None:
    payload = read(COMPLETIONS, {"model": "m", "prompt": prompt, "max_tokens": 5})
    assert (payload.api, payload.prompt, payload.prompt_tokens) == ("completions", expected, tokens)
    assert payload.max_output_tokens == 5


@pytest.mark.parametrize(
    ("path", "api"),
    [
        (CHAT, "chat-completions"),
        (CHAT + "/", "chat-completions"),
        (CHAT + "/render", "chat-completions"),
        ("/openai/deployments/x/chat/completions", "chat-completions"),
        (COMPLETIONS, "completions"),
        ("/v1/xcompletions", "passthrough"),
        ("/v1/embeddings", "passthrough"),
        ("/primary-gateway-test", "passthrough"),
    ],
)
def test_the_path_decides_who_reads(path: str, api: str) -> None:
    assert read(path, {**chat(user("x")), "prompt": "x"}).api == api


@pytest.mark.parametrize(
    ("path", "body", "text"),
    [
        pytest.param(CHAT, b"", "error unmarshaling", id="empty"),
        pytest.param(CHAT, b"{", "error unmarshaling", id="cut"),
        pytest.param(CHAT, b'{"messages": [}', "error unmarshaling", id="broken"),
        pytest.param(CHAT, b"[]", "not a JSON object", id="list"),
        pytest.param(CHAT, {"model": "m"}, "must have valid messages", id="no-messages"),
        pytest.param(CHAT, chat(), "must have valid messages", id="empty-messages"),
        pytest.param(CHAT, {"messages": "x"}, "must have valid messages", id="text-messages"),
        pytest.param(COMPLETIONS, {"model": "m"}, "must have prompt", id="no-prompt"),
        pytest.param(COMPLETIONS, {"prompt": ""}, "must have prompt", id="empty-prompt"),
        pytest.param(COMPLETIONS, {"prompt": []}, "must have prompt", id="empty-list"),
    ],
)
def test_what_no_engine_would_take(path: str, body: object, text: str) -> None:
    with pytest.raises(Refused, match=text) as caught:
        read(path, body)
    assert caught.value.reason is Reason.BAD_REQUEST


BORDERLINE = {
    "duplicate-keys": b'{"model":"a","model":"m","messages":[{"role":"user","content":"x"}]}',
    "big-number": b'{"model":"m","seed":' + b"9" * 5000 + b',"messages":[{"content":"x"}]}',
    "big-exponent": b'{"model":"m","seed":1e999,"messages":[{"content":"x"}]}',
    "byte-order-mark": b'\xef\xbb\xbf{"model":"m","messages":[{"content":"x"}]}',
    "invalid-utf8": b'{"model":"m","messages":[{"content":"\xff\xfe"}]}',
    "lone-surrogate": b'{"model":"m","messages":[{"content":"\\ud800"}]}',
    "deep-2000": b'{"model":"m","messages":[{"content":"x"}],"x":'
    + b"[" * 2000
    + b"]" * 2000
    + b"}",
    "deep-200000": b'{"x":' + b"[" * 200_000 + b"]" * 200_000 + b',"model":"m","messages":[[]]}',
    "deep-objects": b'{"model":"m","messages":[{}],"x":' + b'{"a":' * 5000 + b"1" + b"}" * 5001,
    "stream-string": b'{"model":"m","stream":"true","messages":[{"content":"x"}]}',
    "null-role": b'{"model":"m","messages":[{"role":null,"content":null}]}',
    "odd-content": b'{"model":"m","messages":[{"role":"user","content":{"a":7}}]}',
}


@pytest.mark.parametrize("body", BORDERLINE.values(), ids=BORDERLINE.keys())
def test_odd_bodies_are_routed_and_left_to_the_engine(body: bytes) -> None:
    assert read(CHAT, body).model == "m"


def test_a_missing_model_is_not_this_rooms_business() -> None:
    assert read(CHAT, {"messages": [user("x")]}).model == ""


def test_passthrough_still_says_which_model() -> None:
    payload = read("/v1/embeddings", {"model": "e", "input": [[1, 2], [3]], "stream": True})
    assert (payload.model, payload.can_rewrite, payload.streaming) == ("e", True, True)


@pytest.mark.parametrize("body", [b"", b"\x00\x01", b"[1,2]", b"{", b'{"model": 7}'])
def test_passthrough_never_refuses(body: bytes) -> None:
    payload = read("/v1/anything", body)
    assert (payload.model, payload.can_rewrite) == ("", False)


def test_a_compressed_or_cut_body_is_not_read() -> None:
    assert read(CHAT, b"\x1f\x8b", content_encoding="gzip").api == "passthrough"
    assert read_request(CHAT, {}, b'{"mod', complete=False).api == "passthrough"


@pytest.mark.parametrize(
    ("body", "rewritten"),
    [
        pytest.param(
            b'{ "seed": 9007199254740993, "model" : "a", "x": {"model": "a"} }',
            b'{ "seed": 9007199254740993, "model" : "new", "x": {"model": "a"} }',
            id="nothing-else-changes",
        ),
        pytest.param(
            b'{"model":"a","\\u006dodel":"b"}',
            b'{"model":"new","\\u006dodel":"new"}',
            id="every-spelling-of-the-key",
        ),
        pytest.param(
            b'\xef\xbb\xbf{"messages":[{"content":"\xff"}],"model":"a"}',
            b'\xef\xbb\xbf{"messages":[{"content":"\xff"}],"model":"new"}',
            id="odd-bytes",
        ),
    ],
)
def test_only_the_model_is_rewritten(body: bytes, rewritten: bytes) -> None:
    assert with_model(body, "new") == rewritten


def test_a_name_is_written_as_json() -> None:
    assert json.loads(with_model(b'{"model":1}', 'a"b\\')) == {"model": 'a"b\\'}
