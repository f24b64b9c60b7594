from __future__ import annotations

import struct
from typing import Any

import pytest

from epp.core.refusal import Reason, Refused
from epp.payloads.media import placeholder
from epp.payloads.payload import Payload
from epp.payloads.prompt import MAX_PIECES
from epp.payloads.vllm import MAX_MODALITIES, read_generate


def packed(*tokens: int) -> bytes:
    return struct.pack(f"<{len(tokens)}I", *tokens)


def images(
    *places: tuple[object, object], names: tuple[object, ...] = ("a", "b")
) -> dict[str, Any]:
    ranges = [{"offset": offset, "length": length} for offset, length in places]
    return {"mm_hashes": {"image": list(names)}, "mm_placeholders": {"image": ranges}}


def read(features: object, tokens: int = 10) -> Payload:
    return read_generate({"token_ids": [9] * tokens, "features": features})


def test_token_ids_are_the_prompt() -> None:
    document = {
        "model": "m",
        "token_ids": [1, 2, 2**32 - 1],
        "sampling_params": {"max_tokens": 5},
        "stream": True,
        "cache_salt": "s",
    }
    assert read_generate(document) == Payload(
        api="generate",
        model="m",
        streaming=True,
        prompt=packed(1, 2, 2**32 - 1),
        prompt_tokens=3,
        max_output_tokens=5,
        cache_salt="s",
        can_rewrite=True,
    )


def test_without_a_model_nothing_is_rewritten() -> None:
    assert not read_generate({"token_ids": [1]}).can_rewrite


def test_whole_numbers_may_be_written_as_fractions() -> None:
    assert read_generate({"token_ids": [1.0, 2, 3e2]}).prompt == packed(1, 2, 300)


def test_ids_too_deep_to_be_built_are_the_prompt_as_they_are() -> None:
    assert read_generate({"token_ids": b"[[[]]]"}).prompt == b"[[[]]]"


def test_an_image_is_told_from_another_by_its_hash() -> None:
    payload = read(images((2, 3), (6, 2)))
    assert payload.prompt == b"".join(
        (packed(9, 9), placeholder("a", 3), packed(9), placeholder("b", 2), packed(9, 9))
    )
    assert (payload.prompt_tokens, payload.media_tokens) == (10, 5)
    assert read(images((2, 3), names=("a",))).prompt != read(images((2, 3), names=("b",))).prompt


def test_modalities_stand_where_they_say() -> None:
    features = images((6, 2), names=("a",))
    features["mm_hashes"]["audio"] = ["b"]
    features["mm_placeholders"]["audio"] = [{"offset": 1, "length": 1}]
    assert read(features).prompt == b"".join(
        (packed(9), placeholder("b", 1), packed(9, 9, 9, 9), placeholder("a", 2), packed(9, 9))
    )


def test_what_reaches_beyond_the_prompt_or_into_another_is_cut_or_left_out() -> None:
    payload = read(images((8, 1 << 50), (11, 2)))
    assert payload.prompt == packed(*[9] * 8) + placeholder("a", 2)
    assert payload.media_tokens == 2
    payload = read(images((2, 4), (3, 5)))
    assert payload.prompt == packed(9, 9) + placeholder("a", 4) + packed(9, 9, 9, 9)


@pytest.mark.parametrize(
    "features",
    [
        pytest.param(None, id="null"),
        pytest.param({}, id="none"),
        pytest.param([], id="list"),
        pytest.param({"mm_hashes": {"image": ["a"]}}, id="no-places"),
        pytest.param(
            {"mm_hashes": {"image": "a"}, "mm_placeholders": {"image": {}}}, id="no-lists"
        ),
        pytest.param(images((-1, 2)), id="negative"),
        pytest.param(images(("2", 3)), id="text"),
        pytest.param(images((2, None)), id="no-length"),
        pytest.param(images((2, 3), names=(None,)), id="no-hash"),
        pytest.param(
            {"mm_hashes": {"image": ["a"]}, "mm_placeholders": {"image": [7]}}, id="no-range"
        ),
    ],
)
def test_features_that_say_nothing_change_nothing(features: object) -> None:
    payload = read(features)
    assert (payload.prompt, payload.media_tokens) == (packed(*[9] * 10), 0)


@pytest.mark.parametrize(
    ("sampling", "limit"),
    [(None, None), ({}, None), ([], None), ({"max_tokens": 0}, 0), ({"max_tokens": 7.5}, None)],
)
def test_the_limit(sampling: object, limit: int | None) -> None:
    document = {"token_ids": [1], "sampling_params": sampling, "max_tokens": 3}
    assert read_generate(document).max_output_tokens == limit


@pytest.mark.parametrize(
    "tokens",
    [
        None,
        [],
        "x",
        {},
        7,
        b"{}",
        [-1],
        [2**32],
        [1.5],
        ["1"],
        [[1]],
        [None],
        [float("nan")],
        [1e999],
    ],
    ids=repr,
)
def test_token_ids_are_needed(tokens: object) -> None:
    with pytest.raises(Refused) as caught:
        read_generate({"model": "m", "token_ids": tokens})
    assert caught.value.reason is Reason.BAD_REQUEST
    assert caught.value.detail == "invalid generate request: must have token_ids field"


def test_so_many_media_are_looked_at() -> None:
    count = 2 * MAX_PIECES
    features = images(*((at, 1) for at in range(count)), names=("a",) * count)
    assert read(features, tokens=count).media_tokens == MAX_PIECES
    many = {f"kind-{n}": ["a"] for n in range(2 * MAX_MODALITIES)}
    places = {kind: [{"offset": n, "length": 1}] for n, kind in enumerate(many)}
    features = {"mm_hashes": many, "mm_placeholders": places}
    assert read(features, tokens=count).media_tokens == MAX_MODALITIES
