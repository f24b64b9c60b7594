from __future__ import annotations

import json

import pytest

from epp.core.json_text import dumps


@pytest.mark.parametrize("value", [{"a": [1, None, "x"]}, "\udce9", {"n": 2**80}, {"\udce9": 1.5}])
def test_what_is_written_can_be_read_again(value: object) -> None:
    assert json.loads(dumps(value)) == value


def test_objects_are_shown_as_asked_or_refused() -> None:
    assert json.loads(dumps({"a": {1, 2}.__class__, "n": 2**80}, str))["a"] == "<class 'set'>"
    with pytest.raises(TypeError, match="type"):
        dumps({"a": object()})
