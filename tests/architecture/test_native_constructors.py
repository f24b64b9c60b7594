"""The constructors written for the compiled build are those that `dataclass` makes."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from scripts.compile import ROOT, modules
from scripts.native_constructors import CannotWrite, with_constructors


def rewritten(source: str) -> dict[str, Any]:
    module = sys.modules["rewritten"] = types.ModuleType("rewritten")
    exec(compile(with_constructors(source), "rewritten", "exec"), module.__dict__)
    return vars(module)


def own_dataclasses(file: str) -> list[type]:
    module = importlib.import_module(file.removesuffix(".py").replace("/", "."))
    found = (value for value in vars(module).values() if isinstance(value, type))
    return [c for c in found if dataclasses.is_dataclass(c) and c.__module__ == module.__name__]


def parameters(kind: type) -> list[tuple[str, bool]]:
    """Names in order, and whether there is a default."""
    signature = inspect.signature(kind)
    return [(p.name, p.default is not p.empty) for p in signature.parameters.values()]


@pytest.mark.parametrize("file", [file for file in modules() if own_dataclasses(file)])
def test_every_constructor_takes_what_the_dataclass_takes(file: str) -> None:
    source = Path(ROOT, file).read_text()
    found = rewritten(source)
    for original in own_dataclasses(file):
        assert parameters(found[original.__name__]) == parameters(original)


SOURCE = '''
from __future__ import annotations
from dataclasses import dataclass, field
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Point:
    """Where."""

    word: ClassVar[str] = "point"

    x: int
    y: int = 2
    tags: list[str] = field(default_factory=list)
    length: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "length", self.x + self.y)


@dataclass(slots=True, eq=False)
class Same:
    x: int = 0


@dataclass(frozen=True)
class Left:
    x: int


@dataclass(slots=True)
class Below(Same):
    y: int = 0
'''


def test_values_are_made_as_before() -> None:
    point = rewritten(SOURCE)["Point"]
    made = point(1)
    assert (made.x, made.y, made.tags, made.length) == (1, 2, [], 3)
    assert made.tags is not point(1).tags
    assert made == point(1, tags=[])
    assert hash(point(1, 5, ())) == hash(point(1, 5, ()))
    assert dataclasses.replace(made, y=4) == point(1, 4)
    assert repr(made) == "Point(x=1, y=2, tags=[], length=3)"


def test_identity_and_what_is_no_slotted_class_of_its_own_stay() -> None:
    found = rewritten(SOURCE)
    assert found["Same"]() != found["Same"]()
    for name in ("Left", "Below"):
        assert "init=False" not in with_constructors(SOURCE).split(f"class {name}")[0][-40:]


def test_what_is_not_provided_for_is_said() -> None:
    source = SOURCE.replace("default_factory=list", "default=(), repr=False")
    with pytest.raises(CannotWrite, match=r"Point\.tags"):
        with_constructors(source)
