from __future__ import annotations

import pytest

from epp.payloads.payload import estimate_tokens, model_of, streams


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


@pytest.mark.parametrize("flag", [True, 1, 1.0, "true", "True", "yes", "1"])
def test_streaming(flag: object) -> None:
    assert streams({"stream": flag})


@pytest.mark.parametrize("flag", [False, None, 0, 2, "false", "", "no", [], {}, float("nan")])
def test_not_streaming(flag: object) -> None:
    assert not streams({"stream": flag})
