from __future__ import annotations

import orjson
import pytest

from epp.core.refusal import Refused
from epp.payloads.document import COUNTED_BYTES
from epp.payloads.passthrough import read_passthrough, read_unreadable
from epp.payloads.payload import Payload

DEEP = b"[" * 200_000 + b"]" * 200_000


def test_an_object_says_which_model() -> None:
    body = orjson.dumps({"input": [[1, 2], [3]], "model": "e", "stream": True})
    assert read_passthrough(body) == Payload(
        api="passthrough",
        model="e",
        streaming=True,
        prompt_tokens=-(-len(body) // 4),
        can_rewrite=True,
    )


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b' \n{"model":"m"}', id="blanks-before"),
        pytest.param(b'\xef\xbb\xbf{"model":"m"}', id="byte-order-mark"),
        pytest.param(b'{"model":"m","input":"\xff"}', id="invalid-utf8"),
        pytest.param(b'{"input":' + DEEP + b',"model":"m"}', id="deep"),
        pytest.param(b'{"n":' + b"9" * 9999 + b',"model":"m"}', id="endless-number"),
        pytest.param(b'{"model":"a","\\u006dodel":"m"}', id="the-last-of-two-counts"),
    ],
)
def test_an_odd_object_says_it_too(body: bytes) -> None:
    payload = read_passthrough(body)
    assert (payload.model, payload.can_rewrite) == ("m", True)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\x00\x01", id="binary"),
        pytest.param(b'--x\r\ncontent-disposition: form-data; name="model"', id="multipart"),
        pytest.param(b"[1,2]", id="list"),
        pytest.param(b"{", id="cut"),
        pytest.param(b'{"model": 7}', id="number"),
        pytest.param(b'{"model": {"model": "x"}}', id="nested"),
    ],
)
def test_any_other_body_is_sent_on_without_a_model(body: bytes) -> None:
    payload = read_passthrough(body)
    assert (payload.model, payload.can_rewrite) == ("", False)


def test_a_broken_object_is_not_rewritten() -> None:
    payload = read_passthrough(b'{"model":"m","input":')
    assert (payload.model, payload.can_rewrite) == ("m", False)


def test_a_cut_object_says_what_stands_before_the_cut() -> None:
    payload = read_passthrough(b'{"stream":true,"model":"m","messages":[{"cont', complete=False)
    assert (payload.model, payload.streaming, payload.can_rewrite) == ("m", True, False)


def test_a_body_that_only_looks_complete_is_not_rewritten_if_the_gateway_cut_it() -> None:
    assert not read_passthrough(b'{"model":"m"}', complete=False).can_rewrite


def test_of_a_compressed_body_only_the_size_is_known() -> None:
    assert read_unreadable(b"\x1f\x8b123") == Payload("passthrough", prompt_tokens=2)


MANY_KEYS = b",".join(b'"%d":1' % number for number in range(300_000))
assert len(MANY_KEYS) > COUNTED_BYTES


def test_a_model_may_be_behind_more_than_anybody_looks_at() -> None:
    with pytest.raises(Refused, match="too much to look at before byte "):
        read_passthrough(b"{" + MANY_KEYS + b',"model":"m"}')
    assert read_passthrough(b'{"model":"m",' + MANY_KEYS, complete=False).model == "m"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'{"model":"m"}\n' * 200_000, id="json-lines"),
        pytest.param(b"{" + b"[{:\x00" * COUNTED_BYTES, id="binary"),
    ],
)
def test_a_large_body_of_another_kind_is_sent_on(body: bytes) -> None:
    assert not read_passthrough(body).can_rewrite


def test_a_large_body_of_flat_lists_is_read() -> None:
    body = b'{"inputs":[' + b"[1,2,3]," * COUNTED_BYTES + b'[]],"model":"m"}'
    payload = read_passthrough(body)
    assert (payload.model, payload.can_rewrite) == ("m", True)


def test_the_name_of_a_model_is_not_as_long_as_the_body() -> None:
    with pytest.raises(Refused, match="the model's name has 5000 characters"):
        read_passthrough(b'{"model":"' + b"m" * 5000 + b'"}')
