from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from epp.datalayer.models.catalogue import MalformedList, ModelCatalogue, read_list
from tests.helpers.build import an_endpoint

RECORDED = Path(__file__).parents[3] / "fixtures" / "vllm-0.32" / "models.http"
A, B, C = (an_endpoint(name) for name in "abc")


def models(*names: str) -> tuple[dict[str, str], ...]:
    return tuple({"id": name} for name in names)


def names(catalogue: ModelCatalogue, *endpoints: object) -> list[str]:
    document = catalogue.document(endpoints)  # type: ignore[arg-type]
    assert document is not None
    return [model["id"] for model in orjson.loads(document)["data"]]


def test_a_recorded_list() -> None:
    body = RECORDED.read_bytes().partition(b"\r\n\r\n")[2]
    assert [model["id"] for model in read_list(body)] == ["tiny", "ad0", "ad1"]


def test_each_model_is_listed_once() -> None:
    catalogue = ModelCatalogue()
    catalogue.put(A, models("base", "x"))
    catalogue.put(B, models("base", "y"))
    assert names(catalogue, A, B, C) == ["base", "x", "y"]
    assert names(catalogue, B) == ["base", "y"]
    catalogue.forget(B)
    assert names(catalogue, A, B) == ["base", "x"]


def test_without_a_list_there_is_no_answer() -> None:
    assert ModelCatalogue().document([A]) is None


@pytest.mark.parametrize("body", [b"", b"[]", b'{"data": 7}', b"\xff"])
def test_what_is_no_list(body: bytes) -> None:
    with pytest.raises(MalformedList):
        read_list(body)


def test_entries_without_a_name_are_passed_over() -> None:
    assert read_list(b'{"data": [{"id": "a"}, {"id": 7}, 3, {}]}') == ({"id": "a"},)


def test_who_lists_an_adapter() -> None:
    catalogue = ModelCatalogue()
    catalogue.put(A, read_list(RECORDED.read_bytes().partition(b"\r\n\r\n")[2]))
    catalogue.put(B, ({"id": "ad1", "parent": "tiny"}, {"id": "tiny", "parent": None}))
    told = {name: catalogue.is_adapter(name) for name in ("tiny", "ad0", "ad1", "ad2", "")}
    assert told == {"tiny": False, "ad0": True, "ad1": True, "ad2": False, "": False}
    assert [catalogue.lists(endpoint, "ad0") for endpoint in (A, B, C)] == [True, False, False]
    catalogue.put(A, models("tiny"))
    assert not catalogue.is_adapter("ad0")
    catalogue.forget(B)
    assert not catalogue.is_adapter("ad1")
