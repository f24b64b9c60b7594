from __future__ import annotations

from dataclasses import dataclass

import pytest

from epp.config.decode import decode
from epp.config.document import Document, Strict
from epp.config.errors import ConfigError

HEAD = {"apiVersion": "llm-d.ai/v1alpha1", "kind": "EndpointPickerConfig"}


@dataclass(frozen=True, slots=True)
class Pair(Strict):
    first_one: int
    second: float = 0.5

    def __post_init__(self) -> None:
        if self.first_one > 9:
            raise ValueError(f"firstOne: {self.first_one} is above 9")
        if self.second > self.first_one:
            raise ValueError("the second is above the first")


def problems(cls: type[object], data: object, where: str = "") -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        decode(cls, data, where)
    return caught.value.problems


def test_keys_are_in_camel_case() -> None:
    assert decode(Pair, {"firstOne": 3, "second": 2}, "") == Pair(3, 2.0)


def test_a_check_that_begins_with_a_field_is_at_its_place() -> None:
    assert problems(Pair, {"firstOne": 10}, "a.b") == ("a.b.firstOne: 10 is above 9",)
    assert problems(Pair, {"firstOne": 10}) == ("firstOne: 10 is above 9",)
    assert problems(Pair, {"firstOne": 1, "second": 2}, "a") == (
        "a: the second is above the first",
    )
    assert problems(Pair, {"firstOne": 1, "second": 2}) == (
        "document: the second is above the first",
    )


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ({"plugins": {}}, "plugins: is not a list"),
        ({"plugins": [None]}, "plugins[0]: is not a mapping"),
        ({"plugins": [{"type": 5}]}, "plugins[0].type: is not text"),
        ({"plugins": [{"type": "a", "parameters": 5}]}, "plugins[0].parameters: is not a mapping"),
        ({"plugins": [{}]}, "plugins[0].type: is missing"),
        ({"plugin": []}, "plugin: unknown field"),
        ({"dataLayer": []}, "dataLayer: is not a mapping"),
        ({"dataLayer": {"injectDefaults": "so"}}, "dataLayer.injectDefaults: is not true or false"),
        ({"flowControl": {"maxBytes": []}}, "flowControl.maxBytes: is not text or a number"),
        (
            {"flowControl": {"priorityBands": [{"priority": 1.5}]}},
            "flowControl.priorityBands[0].priority: is not a whole number",
        ),
        (
            {"schedulingProfiles": [{"name": "p", "plugins": [{"pluginRef": "q", "weight": "x"}]}]},
            "schedulingProfiles[0].plugins[0].weight: is not a number",
        ),
        ({"kind": "Pod"}, "kind: should be 'EndpointPickerConfig'"),
    ],
)
def test_problems_are_told_in_the_words_of_the_document(
    field: dict[str, object], text: str
) -> None:
    assert problems(Document, {**HEAD, **field}) == (text,)


def test_every_problem_is_told_at_once() -> None:
    assert problems(Pair, {"firstOne": "x", "third": 1}, "p") == (
        "p.firstOne: is not a whole number",
        "p.third: unknown field",
    )
