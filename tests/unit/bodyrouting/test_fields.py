from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from epp.bodyrouting.fields import (
    BYTES_PER_STEP,
    FREE_STEPS,
    MAX_TOKEN_BYTES,
    WINDOW_BYTES,
    FieldScanner,
    State,
)
from epp.bodyrouting.values import MAX_VALUE_BYTES, Flaw


def scanned(*pieces: bytes, names: Sequence[str] = ("model",)) -> FieldScanner:
    scanner = FieldScanner(names)
    for piece in pieces:
        scanner.feed(piece)
    return scanner


@pytest.mark.parametrize(
    ("body", "model"),
    [
        pytest.param(b'{"model":"m"}', "m", id="compact"),
        pytest.param(b' \r\n\t{ "model" : "m" , "x" : 1 }\n', "m", id="blanks"),
        pytest.param(b'\xef\xbb\xbf{"model":"m"}', "m", id="byte-order-mark"),
        pytest.param(b'{"x":{"model":"no"},"y":[{"model":"no"}],"model":"m"}', "m", id="nested"),
        pytest.param(b'{"x":"\\"model\\":\\"no\\"","model":"m"}', "m", id="inside-a-string"),
        pytest.param(b'{"x":"\\\\","model":"m"}', "m", id="a-backslash-before-the-quote"),
        pytest.param(b'{"\\u006dod\\u0065l":"m"}', "m", id="key-with-escapes"),
        pytest.param(b'{"model":"a\\u00e9\\/\\"b"}', 'aé/"b', id="value-with-escapes"),
        pytest.param(b'{"model":"\\ud83d\\ude00"}', "😀", id="surrogate-pair"),
        pytest.param('{"model":"модель/七"}'.encode(), "модель/七", id="utf-8"),
        pytest.param(b'{"model":"a","model":"a"}', "a", id="twice-the-same"),
        pytest.param(b'{"model":"a","model":"\\u0061"}', "a", id="twice-the-same-spelled-apart"),
        pytest.param(b'{"model":7}', "7", id="number-as-written"),
        pytest.param(b'{"model":1.50e3}', "1.50e3", id="float-as-written"),
        pytest.param(b'{"model":true}', "true", id="boolean"),
        pytest.param(b'{"model":"m","x":[1,2', "m", id="cut-after-it"),
        pytest.param(b'{"model":"m"} trailing', "m", id="something-behind"),
        pytest.param(b'{"x":' + b"[" * 200_000 + b"]" * 200_000 + b',"model":"m"}', "m", id="deep"),
        pytest.param(b'{"x":NaN,"model":"m"}', "m", id="not-a-number"),
        pytest.param(b'{"x":"\xff\xfe","model":"m"}', "m", id="no-utf-8-elsewhere"),
        pytest.param(b'{"model":"%s"}' % (b"m" * MAX_VALUE_BYTES), "m" * MAX_VALUE_BYTES, id="max"),
    ],
)
def test_a_model_that_is_there(body: bytes, model: str) -> None:
    scanner = scanned(body)
    assert scanner.readings == {"model": model}
    assert scanner.settled
    assert not scanner.contradicted


@pytest.mark.parametrize(
    ("value", "flaw"),
    [
        pytest.param(b'""', Flaw.EMPTY, id="empty"),
        pytest.param(b"null", Flaw.UNREADABLE, id="null"),
        pytest.param(b"{}", Flaw.UNREADABLE, id="object"),
        pytest.param(b'["m"]', Flaw.UNREADABLE, id="list"),
        pytest.param(b"NaN", Flaw.UNREADABLE, id="not-a-number"),
        pytest.param(b"01", Flaw.UNREADABLE, id="no-number-of-json"),
        pytest.param(b'"a\\nb"', Flaw.UNREADABLE, id="line-feed"),
        pytest.param(b'"a\\r\\nx-evil: 1"', Flaw.UNREADABLE, id="header-injection"),
        pytest.param(b'"a\\u0000"', Flaw.UNREADABLE, id="nul"),
        pytest.param(b'"a\\u007f"', Flaw.UNREADABLE, id="delete"),
        pytest.param(b'"a\nb"', Flaw.UNREADABLE, id="raw-line-feed"),
        pytest.param(b'"\\ud800"', Flaw.UNREADABLE, id="lone-surrogate"),
        pytest.param(b'"\xff"', Flaw.UNREADABLE, id="no-utf-8"),
        pytest.param(b'"\\x"', Flaw.UNREADABLE, id="no-escape-of-json"),
        pytest.param(b'"%s"' % (b"m" * (MAX_VALUE_BYTES + 1)), Flaw.UNREADABLE, id="too-long"),
        pytest.param(b'"%s"' % (b"m" * (MAX_TOKEN_BYTES + 1)), Flaw.UNREADABLE, id="not-kept"),
    ],
)
def test_a_model_that_cannot_be_a_header(value: bytes, flaw: Flaw) -> None:
    scanner = scanned(b'{"model":%s,"x":1}' % value)
    assert scanner.readings == {"model": flaw}
    assert scanner.settled


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'{"model":"a","model":"b"}', id="texts"),
        pytest.param(b'{"model":"a","x":[1,{"y":2}],"model":"b"', id="far-apart"),
        pytest.param(b'{"model":null,"model":"b"}', id="null-first"),
        pytest.param(b'{"model":"a","model":{}}', id="object-last"),
        pytest.param(b'{"model":"","model":"EMPTY"}', id="empty-first"),
        pytest.param(b'{"model":"a","\\u006dodel":"b"}', id="escapes-in-the-key"),
    ],
)
def test_a_model_that_is_there_twice_with_different_values(body: bytes) -> None:
    assert scanned(body).contradicted == "model"


@pytest.mark.parametrize(
    ("body", "state"),
    [
        pytest.param(b"{}", State.COMPLETE, id="empty-object"),
        pytest.param(b'{"x":1,"Model":"m"}', State.COMPLETE, id="other-case"),
        pytest.param(b'{"%s":1}' % (b"k" * 2 * MAX_TOKEN_BYTES), State.COMPLETE, id="long-key"),
        pytest.param(b"[]", State.BROKEN, id="list"),
        pytest.param(b'"model"', State.BROKEN, id="text"),
        pytest.param(b"\x1f\x8b\x08", State.BROKEN, id="gzip"),
        pytest.param(b"\xef\xbb{}", State.BROKEN, id="half-a-byte-order-mark"),
        pytest.param(b' \xef\xbb\xbf{"model":"m"}', State.BROKEN, id="a-late-byte-order-mark"),
        pytest.param(b'{"x":1,}', State.BROKEN, id="comma-at-the-end"),
        pytest.param(b"{model:1}", State.BROKEN, id="bare-key"),
        pytest.param(b'{"model" "m"}', State.BROKEN, id="no-colon"),
        pytest.param(b'{"model":}', State.BROKEN, id="no-value"),
        pytest.param(b'{"x":1 "model":"m"}', State.BROKEN, id="no-comma"),
    ],
)
def test_a_body_that_has_none(body: bytes, state: State) -> None:
    scanner = scanned(body)
    assert scanner.readings == {}
    assert scanner.state is state
    assert scanner.settled


@pytest.mark.parametrize("cut", [b"", b"{", b'{"mod', b'{"model":', b'{"model":"m', b'{"model":1'])
def test_a_body_that_may_still_have_one(cut: bytes) -> None:
    scanner = scanned(cut)
    assert not scanner.settled
    assert scanner.readings == {}


def test_several_fields_are_settled_when_all_are_there() -> None:
    scanner = scanned(b'{"user":"u","stream":true,', names=("model", "user", "stream"))
    assert not scanner.settled
    scanner.feed(b'"model":"m","rest"')
    assert scanner.settled
    assert scanner.readings == {"user": "u", "stream": "true", "model": "m"}


def test_what_is_behind_the_object_is_not_read() -> None:
    assert scanned(b'{"model":"m"}', b'{"model":"other"}').contradicted == ""


PLAIN = st.text(st.characters(codec="utf-8"), max_size=12)
NAMES = st.sampled_from(["model", "user", "x", 'mo"del', "\\model", "é"]) | PLAIN
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | PLAIN
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4)
)
CUTS = st.lists(st.integers(0, 400), max_size=12)


def cut(body: bytes, at: Sequence[int]) -> list[bytes]:
    edges = [0, *sorted(min(place, len(body)) for place in at), len(body)]
    return [body[start:stop] for start, stop in pairwise(edges)]


@given(
    st.dictionaries(NAMES, VALUES, max_size=6),
    CUTS,
    st.booleans(),
    st.sampled_from([(",", ":"), (" , ", " : "), (",\n", ":\t")]),
)
def test_any_document_in_any_pieces_reads_as_a_json_decoder_does(
    document: dict[str, object], cuts: list[int], ascii_only: bool, separators: tuple[str, str]
) -> None:
    body = json.dumps(document, ensure_ascii=ascii_only, separators=separators).encode()
    scanner = scanned(*cut(body, cuts), names=("model", "user"))
    assert scanner.state is State.COMPLETE
    assert not scanner.contradicted
    for name in ("model", "user"):
        reading, value = scanner.readings.get(name), document.get(name)
        assert (reading is None) == (name not in document)
        if isinstance(reading, str):
            assert reading == value if isinstance(value, str) else reading == json.dumps(value)
        elif isinstance(value, str):
            assert value == "" or any(ord(c) < 32 or ord(c) == 127 for c in value)


def outcome(scanner: FieldScanner) -> object:
    return scanner.state, scanner.readings, scanner.contradicted, scanner.settled


FRAGMENTS = st.sampled_from(
    [
        *(b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b" ", b"\n", b"1", b"-", b"e"),
        *(b'"model"', b'"m"', b"\xef\xbb\xbf", b"\xff", b"null", b"\\u006d", b'{"model":', b'"x":'),
    ]
)


@given(st.lists(FRAGMENTS, max_size=40).map(b"".join), CUTS)
@example(b'{"x":"\\\\\\"","model":"m"}', [6, 7, 8, 9, 10])
@example(b'\xef\xbb\xbf{"model":"m"}', [1, 2])
@example(b'{"model":"\\ud83d\\ude00"}', [14])
def test_any_bytes_in_any_pieces_come_to_the_same(body: bytes, cuts: list[int]) -> None:
    whole = scanned(body, names=("model", "x"))
    assert outcome(scanned(*cut(body, cuts), names=("model", "x"))) == outcome(whole)
    by_byte = [body[at : at + 1] for at in range(len(body))]
    assert outcome(scanned(*by_byte, names=("model", "x"))) == outcome(whole)


@pytest.mark.parametrize("shift", range(12))
def test_windows_of_a_large_piece_cut_anywhere(shift: int) -> None:
    head = b'{"x":"' + b"a" * (WINDOW_BYTES - 12 + shift)
    body = head + b'\\\\","y":"\\"","model":"m\\u00e9"}'
    assert scanned(body).readings == {"model": "mé"}


def test_it_keeps_no_more_than_a_value_can_be() -> None:
    scanner = FieldScanner(("model",))
    scanner.feed(b'{"model":"')
    for _ in range(100):
        scanner.feed(b"m" * MAX_TOKEN_BYTES)
    assert sum(map(len, scanner._token or ())) <= MAX_TOKEN_BYTES
    scanner.feed(b'"}')
    assert scanner.readings == {"model": Flaw.UNREADABLE}


HOSTILE = pytest.mark.parametrize(
    ("head", "unit"),
    [
        pytest.param(b"{", b'"a":1,', id="members"),
        pytest.param(b'{"x":', b'{"a":[', id="depth"),
        pytest.param(b'{"x":[', b"[[1]],", id="lists-of-lists"),
    ],
)


@HOSTILE
@pytest.mark.parametrize("piece_bytes", [1000, WINDOW_BYTES, 1 << 30])
def test_a_step_every_few_bytes_is_given_up(head: bytes, unit: bytes, piece_bytes: int) -> None:
    body = head + unit * 20 * FREE_STEPS
    scanner, fed = FieldScanner(("model",)), 0
    while not scanner.settled:
        piece = body[fed : fed + piece_bytes]
        scanner.feed(piece)
        fed += len(piece)
    assert scanner.state is State.GIVEN_UP
    assert scanner.readings == {}
    scanner.feed(b'"model":"m"}')
    assert scanner.readings == {}


@HOSTILE
def test_so_much_of_it_is_free(head: bytes, unit: bytes) -> None:
    scanner = scanned(head + unit * (FREE_STEPS // 10))
    assert scanner.state not in (State.GIVEN_UP, State.BROKEN)


@pytest.mark.parametrize(
    "unit",
    [
        pytest.param(b'{"role":"user","content":"hi"},', id="objects"),
        pytest.param(b"[1],", id="lists"),
        pytest.param(b'"a",', id="texts"),
        pytest.param(b'{"content":[{"text":"' + b"a" * 4 * BYTES_PER_STEP + b'"}]},', id="parts"),
    ],
)
def test_flat_values_and_text_are_read_in_any_number(unit: bytes) -> None:
    body = b'{"x":[' + unit * 20 * FREE_STEPS + b'1],"model":"m"}'
    assert scanned(body).readings == {"model": "m"}
    pieces = [body[at : at + 1000] for at in range(0, len(body), 1000)]
    assert scanned(*pieces).readings == {"model": "m"}


def test_brackets_side_by_side_are_one_step() -> None:
    deep = b"[" * 100 * FREE_STEPS + b"]" * 100 * FREE_STEPS
    assert scanned(b'{"x":' + deep + b',"model":"m"}').readings == {"model": "m"}
    assert scanned(b'{"x":[[' + b"1]]]").state is State.BROKEN
