from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epp.payloads.restoring import ModelRestorer

NAMES = st.text(st.characters(codec="utf-8"), min_size=1) | st.text('am"\\', min_size=1)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted({place % (len(data) + 1) for place in places}), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


def pass_through(restorer: ModelRestorer, chunks: list[bytes]) -> bytes:
    last = len(chunks) - 1
    return b"".join(restorer.feed(chunk, n == last) for n, chunk in enumerate(chunks))


@pytest.mark.parametrize("gap", [b"", b" "])
@given(places=st.lists(st.integers(0, 300), max_size=10))
def test_a_name_is_restored_wherever_it_is_cut(gap: bytes, places: list[int]) -> None:
    target, public = "internal/long-name", "chat"
    line = b'data: {"id":1,"model":' + gap + b'"%s","x":"model"}\n\n'
    sent, expected = line % target.encode() * 3, line % public.encode() * 3
    assert pass_through(ModelRestorer(target, public), cut(sent, places)) == expected


@given(NAMES, NAMES, st.lists(st.binary(max_size=9) | st.just(b'"model":'), max_size=8))
def test_chunks_give_what_the_whole_gives(target: str, incoming: str, pieces: list[bytes]) -> None:
    whole = b"".join(pieces)
    at_once = ModelRestorer(target, incoming).feed(whole, True)
    assert pass_through(ModelRestorer(target, incoming), [*pieces, b""]) == at_once
    single = [whole[n : n + 1] for n in range(len(whole))]
    assert pass_through(ModelRestorer(target, incoming), [*single, b""]) == at_once


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(b'"model":"t\\"x"', b'"model":"p\\\\"', id="compact"),
        pytest.param(b'"model": "t\\"x"', b'"model": "p\\\\"', id="spaced"),
        pytest.param(b'"model":  "t\\"x"', b'"model":  "t\\"x"', id="another-spelling"),
        pytest.param(b'"model":"t\\"xy"', b'"model":"t\\"xy"', id="a-longer-name"),
        pytest.param(b'"models":"t\\"x"', b'"models":"t\\"x"', id="another-key"),
        pytest.param(b'\\"model\\":\\"t\\"x\\"', b'\\"model\\":\\"t\\"x\\"', id="quoted-text"),
    ],
)
def test_only_the_exact_name_is_restored(data: bytes, expected: bytes) -> None:
    assert ModelRestorer('t"x', "p\\").feed(data, True) == expected


@pytest.mark.parametrize("written", ['"mödel"'.encode(), b'"m\\u00f6del"'])
def test_letters_beyond_ascii_in_either_spelling(written: bytes) -> None:
    data = b'{"model":' + written + b"}"
    assert ModelRestorer("mödel", "m").feed(data, True) == b'{"model":"m"}'


def test_only_the_start_of_a_match_is_held_back() -> None:
    restorer = ModelRestorer("target", "public")
    assert restorer.feed(b'data: {"a":1,"mod', False) == b'data: {"a":1,'
    assert restorer.feed(b'e":1}\n\n', False) == b'"mode":1}\n\n'
    assert restorer.feed(b'data: {"model":"x","y":"', False) == b'data: {"model":"x","y":'
    assert restorer.feed(b"", True) == b'"'


@pytest.mark.parametrize(
    ("target", "incoming", "changes"),
    [("abc", "xyz", False), ("abc", "x", True), ("abc", 'x"', False), ("mödel", "model", True)],
)
def test_whether_the_length_can_change(target: str, incoming: str, changes: bool) -> None:
    assert ModelRestorer(target, incoming).changes_length is changes
