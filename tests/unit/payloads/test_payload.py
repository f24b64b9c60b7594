from __future__ import annotations

import pytest

from epp.core.refusal import Reason, Refused
from epp.payloads.payload import MAX_MODEL_CHARACTERS, estimate_tokens, model_of, streams


@pytest.mark.parametrize(("size", "tokens"), [(0, 0), (1, 1), (4, 1), (5, 2)])
def test_four_bytes_are_a_token(size: int, tokens: int) -> None:
    assert estimate_tokens(size) == tokens


@pytest.mark.parametrize(
    ("model", "name"),
    [("m", "m"), ("mödel", "mödel"), ("x\ud800", "x?"), (None, ""), (7, ""), (["m"], "")],
)
def test_a_model_is_a_name_that_can_be_written(model: object, name: str) -> None:
    assert model_of({"model": model}) == name
    assert model_of({}) == ""


@pytest.mark.parametrize("letter", ["m", "ö"])
def test_a_name_has_so_many_characters(letter: str) -> None:
    longest = letter * MAX_MODEL_CHARACTERS
    assert model_of({"model": longest}) == longest
    with pytest.raises(Refused, match=r"has 4097 characters, more than 4096$") as caught:
        model_of({"model": longest + letter})
    assert caught.value.reason is Reason.BAD_REQUEST


@pytest.mark.parametrize("flag", [True, 1, 1.0, "true", "True", "yes", "1"])
def test_streaming(flag: object) -> None:
    assert streams({"stream": flag})


@pytest.mark.parametrize("flag", [False, None, 0, 2, "false", "", "no", [], {}, float("nan")])
def test_not_streaming(flag: object) -> None:
    assert not streams({"stream": flag})
