from __future__ import annotations

import pytest

from epp.bodyrouting.basemodel_documents import MAX_TEXT_BYTES, decode_data, decode_document
from epp.bodyrouting.basemodels import Entry
from epp.config.errors import ConfigError


def test_a_document_names_base_models_with_their_adapters() -> None:
    text = b"""
baseModels:
- baseModel: Qwen/Qwen3-32B
  adapters: [food-review-1, 7]
- {"baseModel": "deepseek"}
"""
    assert decode_document(text) == [
        ("baseModels[0]", Entry("Qwen/Qwen3-32B", ("food-review-1", "7"))),
        ("baseModels[1]", Entry("deepseek")),
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"", "a mapping with `baseModels`"),
        (b"other: []", "a mapping with `baseModels`"),
        (b"baseModels: x", "baseModels: a list is expected"),
        (b"baseModels: [7]", "baseModels[0]: a mapping"),
        (b"baseModels: [{}]", "baseModels[0].baseModel: is missing"),
        (b"baseModels: [{baseModel: ' '}]", "baseModels[0].baseModel: is missing or empty"),
        (b"baseModels: [{baseModel: b, adapter: x}]", "baseModels[0]: unknown field 'adapter'"),
        (b"baseModels: [{baseModel: b, adapters: x}]", "baseModels[0].adapters: a list"),
        (b"baseModels: [{baseModel: b, adapters: [[]]}]", "baseModels[0].adapters[0]: a name"),
        (b"baseModels: [{baseModel: b, adapters: [true]}]", "baseModels[0].adapters[0]: a name"),
        (
            b"baseModels: [{baseModel: a, adapters: [x]}, {baseModel: b, adapters: [x]}]",
            "baseModels[1]: 'x' is claimed by 'b', but belongs to 'a'",
        ),
        (b"baseModels: ]", "line 1"),
        (b"\xff", "not UTF-8"),
        (b" " * (MAX_TEXT_BYTES + 1), "is larger than"),
    ],
)
def test_what_is_wrong_with_a_document_is_named(text: bytes, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        decode_document(text)
    assert problem in str(caught.value)


def test_every_problem_of_a_document_is_named() -> None:
    with pytest.raises(ConfigError) as caught:
        decode_document(b"baseModels: [{}, 7]")
    assert len(caught.value.problems) == 2


@pytest.mark.parametrize(
    ("data", "entry"),
    [
        ({"baseModel": " base ", "adapters": "- a\n- b\n"}, Entry("base", ("a", "b"))),
        ({"baseModel": "base", "adapters": "[a, '', 1]"}, Entry("base", ("a", "1"))),
        ({"baseModel": "base", "adapters": " \n"}, Entry("base")),
        ({"baseModel": "base", "other": "x"}, Entry("base")),
    ],
)
def test_the_data_of_a_config_map(data: dict[str, object], entry: Entry) -> None:
    assert decode_data(data) == entry


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        ({}, "data.baseModel: is missing or empty"),
        ({"baseModel": "\n"}, "data.baseModel: is missing or empty"),
        ({"baseModel": "b", "adapters": "a: b"}, "data.adapters: a list of names"),
        ({"baseModel": "b", "adapters": "- ["}, "data.adapters: line"),
        ({"baseModel": "b", "adapters": 7}, "data.adapters: a YAML list as text"),
    ],
)
def test_what_is_wrong_with_the_data_is_named(data: dict[str, object], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        decode_data(data)
