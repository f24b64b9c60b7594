from __future__ import annotations

import json
import random
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from epp.core.refusal import Reason, Refused
from epp.payloads.payload import Payload
from epp.payloads.prompt import MAX_PIECES
from epp.payloads.request import read_request, with_model
from epp.payloads.toplevel import NotAnObject

CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"
ALL_PATHS = (
    *(CHAT, COMPLETIONS, "/v1/responses", "/v1/messages", "/v1/embeddings"),
    *("/inference/v1/generate", "/v1/conversations"),
)


def read(path: str, body: object, **headers: str) -> Payload:
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    return read_request(path, {k.replace("_", "-"): v for k, v in headers.items()}, raw)


def chat(**fields: object) -> dict[str, object]:
    return {"model": "m", "messages": [{"role": "user", "content": "x"}], **fields}


@pytest.mark.parametrize(
    ("path", "api"),
    [
        (CHAT, "chat-completions"),
        (CHAT + "/", "chat-completions"),
        (CHAT + "/render", "chat-completions"),
        (COMPLETIONS + "/render", "completions"),
        ("/openai/deployments/x/chat/completions", "chat-completions"),
        (COMPLETIONS, "completions"),
        ("/v1/xcompletions", "passthrough"),
        ("/v1/responses", "responses"),
        ("/v1/messages", "messages"),
        ("/anthropic/v1/messages/", "messages"),
        ("/v1/embeddings", "embeddings"),
        ("/inference/v1/generate", "generate"),
        ("/v1/conversations", "conversations"),
        ("/v1/messages/count_tokens", "passthrough"),
        ("/v1/responses/resp_1/cancel", "passthrough"),
        ("/v1/conversations/conv_1/items", "passthrough"),
        ("/v1/images/generations", "passthrough"),
        ("/generate", "passthrough"),
        ("/primary-gateway-test", "passthrough"),
        ("", "passthrough"),
    ],
)
def test_the_path_decides_who_reads(path: str, api: str) -> None:
    payload = read(path, chat(prompt="x", input="x", token_ids=[1], items=["x"]))
    assert (payload.api, payload.model) == (api, "m")


@pytest.mark.parametrize("path", ALL_PATHS)
def test_every_api_can_have_its_model_rewritten(path: str) -> None:
    body = orjson.dumps(chat(prompt="x", input="x", token_ids=[1], items=["x"]))
    assert read(path, body).can_rewrite
    assert read(path, with_model(body, "other")).model == "other"


@pytest.mark.parametrize(
    ("path", "field", "piece"),
    [
        (CHAT, "messages", {"role": "user", "content": "hi"}),
        (CHAT, "messages", {"content": ["a", "b"]}),
        (COMPLETIONS, "prompt", "hi"),
        (COMPLETIONS, "prompt", [1]),
        ("/v1/responses", "input", {"role": "user", "content": "hi"}),
        ("/v1/responses", "input", {"role": "user", "content": ["a", "b"]}),
        ("/v1/messages", "messages", {"role": "user", "content": "hi"}),
        ("/v1/messages", "messages", {"role": "user", "content": [{"type": "tool_result"}]}),
        ("/v1/embeddings", "input", "hi"),
        ("/v1/conversations", "items", {"role": "user", "content": "hi"}),
    ],
)
def test_what_comes_after_very_many_pieces_is_written_as_json(
    path: str, field: str, piece: object
) -> None:
    """So no body takes longer than that, and one with a piece more still begins alike."""

    def prompt(pieces: int) -> bytes:
        return read(path, {**chat(), field: [piece] * pieces}).prompt

    few, many = prompt(MAX_PIECES // 2), prompt(2 * MAX_PIECES)
    assert few
    assert many.startswith(few[: len(few) // 2])
    assert orjson.dumps([piece] * MAX_PIECES)[1:-1] in many
    assert prompt(2 * MAX_PIECES + 1).startswith(many.removesuffix(b"]"))


TEXT = st.text(max_size=20)
IMAGE = {"type": "image_url", "image_url": {"url": "https://example.com/y.png"}}
PARTS = st.lists(st.builds(lambda text: {"type": "text", "text": text}, TEXT) | st.just(IMAGE))
MESSAGES = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant"]), "content": TEXT | PARTS}
    ),
    max_size=4,
)
TOKENS = st.lists(st.integers(0, 2**32 - 1), max_size=80)
GIVEN: dict[str, tuple[str, st.SearchStrategy[list[Any]]]] = {
    CHAT: ("messages", MESSAGES),
    COMPLETIONS: ("prompt", TOKENS),
    "/v1/responses": ("input", MESSAGES),
    "/v1/messages": ("messages", MESSAGES),
    "/v1/embeddings": ("input", TOKENS),
    "/inference/v1/generate": ("token_ids", TOKENS),
    "/v1/conversations": ("items", MESSAGES),
}


@pytest.mark.parametrize("path", ALL_PATHS)
@given(data=st.data())
def test_equal_beginnings_give_equal_beginnings_of_the_prompt(
    path: str, data: st.DataObject
) -> None:
    """Whatever else differs: the next turn, somebody else's turn, limits and labels."""
    field, values = GIVEN[path]
    shared = data.draw(values.filter(bool))
    system = {"system": "Be brief.", "instructions": "Be brief.", "tools": [{"name": "f"}]}

    def prompt(more: list[Any], **fields: object) -> bytes:
        body = {"model": "m", **fields, field: shared + more, **system}
        return read(path, body).prompt

    beginning = prompt([])
    assert beginning
    for user in ("a", "b"):
        labels = {"metadata": {"user_id": user}, "user": user, "max_tokens": ord(user)}
        assert prompt(data.draw(values), **labels).startswith(beginning)


@pytest.mark.parametrize(
    ("path", "body", "text"),
    [
        pytest.param(CHAT, b"", "error unmarshaling request bodyMap: .* 0", id="empty"),
        pytest.param(CHAT, b'{"messages": [}', "error unmarshaling .* character 14", id="broken"),
        pytest.param(CHAT, b"[]", "error unmarshaling .* not a JSON object", id="list"),
        pytest.param(CHAT, {"model": "m"}, "must have valid messages field", id="no-messages"),
        pytest.param(COMPLETIONS, {"model": "m"}, "must have prompt field", id="no-prompt"),
        pytest.param("/v1/messages", b"{", "error unmarshaling request bodyMap", id="cut"),
        pytest.param("/v1/embeddings", {"model": "m"}, "must have input field", id="no-input"),
    ],
)
def test_what_no_engine_would_take(path: str, body: object, text: str) -> None:
    with pytest.raises(Refused, match=text) as caught:
        read(path, body)
    assert caught.value.reason is Reason.BAD_REQUEST


MESSAGES = b'"messages":[{"role":"user","content":"x"}]'
BORDERLINE = {
    "duplicate-keys": b'{"model":"a","model":"m",' + MESSAGES + b"}",
    "big-number": b'{"model":"m","seed":' + b"9" * 5000 + b"," + MESSAGES + b"}",
    "big-exponent": b'{"model":"m","seed":1e999,' + MESSAGES + b"}",
    "not-a-number": b'{"model":"m","seed":NaN,' + MESSAGES + b"}",
    "byte-order-mark": b'\xef\xbb\xbf{"model":"m",' + MESSAGES + b"}",
    "invalid-utf8": b'{"model":"m","messages":[{"content":"\xff\xfe"}]}',
    "lone-surrogate": b'{"model":"m","messages":[{"content":"\\ud800"}]}',
    "deep-2000": b'{"x":' + b"[" * 2000 + b"]" * 2000 + b',"model":"m",' + MESSAGES + b"}",
    "deep-200000": b'{"x":' + b"[" * 200_000 + b"]" * 200_000 + b',"model":"m",' + MESSAGES + b"}",
    "deep-objects": b'{"model":"m",' + MESSAGES + b',"x":' + b'{"a":' * 5000 + b"1" + b"}" * 5001,
    "deep-content": b'{"model":"m","messages":[{"content":'
    + b"[" * 200_000
    + b"]" * 200_000
    + b"}]}",
    "deep-but-built": b'{"model":"m","messages":[{"content":'
    + b'{"a":' * 900
    + b"1"
    + b"}" * 900
    + b"}]}",
    "stream-string": b'{"model":"m","stream":"true",' + MESSAGES + b"}",
    "null-role": b'{"model":"m","messages":[{"role":null,"content":null}]}',
    "odd-content": b'{"model":"m","messages":[{"role":"user","content":{"a":7}}]}',
}


@pytest.mark.parametrize("body", BORDERLINE.values(), ids=BORDERLINE.keys())
def test_odd_bodies_are_routed_and_can_be_rewritten(body: bytes) -> None:
    assert read(CHAT, body).model == "m"
    rewritten = with_model(body, "other")
    assert read(CHAT, rewritten).model == "other"
    assert len(rewritten) - len(body) in (4, 8)


def test_a_deep_prompt_is_routed() -> None:
    body = b'{"model":"m","prompt":' + b"[" * 1000 + b"1" + b"]" * 1000 + b"}"
    assert read(COMPLETIONS, body).model == "m"


@pytest.mark.parametrize("body", [b'{"messages":[{}]}', b'{"model":7,"messages":[{}]}'])
def test_a_missing_model_is_not_this_rooms_business(body: bytes) -> None:
    payload = read(CHAT, body)
    assert (payload.model, payload.can_rewrite) == ("", True)


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "br, gzip"])
def test_a_compressed_body_is_not_read(encoding: str) -> None:
    payload = read(CHAT, b"\x1f\x8b", content_encoding=encoding)
    assert (payload.api, payload.can_rewrite) == ("passthrough", False)


@pytest.mark.parametrize("encoding", ["", "identity", " Identity "])
def test_identity_is_no_compression(encoding: str) -> None:
    assert read(CHAT, chat(), content_encoding=encoding).api == "chat-completions"


def test_a_cut_body_is_read_up_to_the_cut() -> None:
    payload = read_request(CHAT, {}, b'{"model":"m","messages":[{"con', complete=False)
    assert (payload.api, payload.model, payload.can_rewrite) == ("passthrough", "m", False)


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
        pytest.param(
            b'{"x":"\\"model\\":\\"a\\"","y":"model","z":["model","a"],"model":"a"}',
            b'{"x":"\\"model\\":\\"a\\"","y":"model","z":["model","a"],"model":"new"}',
            id="text-that-looks-like-it",
        ),
        pytest.param(b'{"model":{"a":[1]}}', b'{"model":"new"}', id="not-a-name"),
        pytest.param(b'{"a":1.0}', b'{"a":1.0}', id="no-model"),
    ],
)
def test_only_the_model_is_rewritten(body: bytes, rewritten: bytes) -> None:
    assert with_model(body, "new") == rewritten


VALUES = st.recursive(
    st.none() | st.floats(allow_nan=False) | st.text() | st.just("model"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.just("model") | st.text(), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(
    st.lists(st.tuples(st.just("model") | st.text(max_size=4), VALUES), max_size=6),
    st.text(),
    st.randoms(use_true_random=False),
)
def test_a_rewrite_is_a_rewrite_of_the_document(
    pairs: list[tuple[str, object]], name: str, chance: random.Random
) -> None:
    def write(model: bool) -> bytes:
        written = (
            f"{json.dumps(key)} :{json.dumps(name if model and key == 'model' else value)}"
            for key, value in pairs
        )
        return ("{" + ", ".join(written) + "}").encode()

    assert json.loads(with_model(write(False), name)) == json.loads(write(True))
    again = with_model(with_model(write(False), str(chance.random())), name)
    assert again == with_model(write(False), name)


def test_a_name_is_written_as_json() -> None:
    assert json.loads(with_model(b'{"model":1}', 'a"b\\')) == {"model": 'a"b\\'}


def test_a_name_that_utf8_cannot_carry_is_written_all_the_same() -> None:
    assert with_model(b'{"model":"a"}', "x\udcff") == b'{"model":"x?"}'


def test_a_body_that_hides_its_model_is_not_rewritten() -> None:
    body = b'{"x":[' + b'"model",' * 100_000 + b'1],"model":"a"}'
    with pytest.raises(Refused, match="the model cannot be replaced") as caught:
        with_model(body, "new")
    assert caught.value.reason is Reason.BAD_REQUEST


def test_what_is_no_object_is_not_rewritten() -> None:
    with pytest.raises(NotAnObject):
        with_model(b'["model"]', "new")
