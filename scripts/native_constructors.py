"""Gives dataclasses constructors that mypyc compiles.

The `__init__` that `dataclass` makes is made at run time, so it stays interpreted in a compiled
module: several microseconds for a value with twenty fields. Here the same one is written out in
the copy that is compiled. A frozen class is not frozen there: mypy has seen to it before.
"""

from __future__ import annotations

import ast


class CannotWrite(Exception):
    """A dataclass uses what is not provided for; the message names it."""


def with_constructors(source: str) -> str:
    """The module with an `__init__` in every `@dataclass(slots=True)` that has none and no base."""
    lines = source.splitlines(keepends=True)
    classes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ClassDef)]
    for node in sorted(classes, key=lambda found: found.lineno, reverse=True):
        decorator = _dataclass_decorator(node)
        if decorator is None or node.bases or _has_constructor(node):
            continue
        assert node.end_lineno is not None
        margin = " " * (node.col_offset + 4)
        text = "".join(f"{margin}{line}\n" for line in ("", *_constructor(node)))
        lines.insert(node.end_lineno, text)
        lines[decorator.lineno - 1] = _without_init(decorator)
    return "".join(lines)


def _dataclass_decorator(node: ast.ClassDef) -> ast.Call | None:
    for decorator in node.decorator_list:
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "dataclass":
            options = {keyword.arg: ast.unparse(keyword.value) for keyword in decorator.keywords}
            if options.get("slots") == "True" and "init" not in options:
                return decorator
    return None


def _has_constructor(node: ast.ClassDef) -> bool:
    return "__init__" in _methods(node)


def _methods(node: ast.ClassDef) -> set[str]:
    return {found.name for found in node.body if isinstance(found, ast.FunctionDef)}


def _without_init(decorator: ast.Call) -> str:
    """Equal values of a frozen class have equal hashes, which `unsafe_hash` keeps."""
    options = {keyword.arg: ast.unparse(keyword.value) for keyword in decorator.keywords}
    if options.pop("frozen", "") == "True" and options.get("eq") != "False":
        options["unsafe_hash"] = "True"
    options["init"] = "False"
    given = ", ".join(f"{name}={value}" for name, value in options.items())
    return f"{' ' * (decorator.col_offset - 1)}@dataclass({given})\n"


def _constructor(node: ast.ClassDef) -> list[str]:
    parameters = ["self"]
    body: list[str] = []
    for statement in node.body:
        if not isinstance(statement, ast.AnnAssign):
            continue
        assert isinstance(statement.target, ast.Name)
        name, kind = statement.target.id, ast.unparse(statement.annotation)
        if kind.startswith("ClassVar"):
            continue
        options = _field_options(statement.value)
        if options is None:
            default = "" if statement.value is None else f" = {ast.unparse(statement.value)}"
            parameters.append(f"{name}: {kind}{default}")
            body.append(f"self.{name} = {name}")
        elif set(options) == {"default_factory"} and "None" not in kind:
            made = f"{options['default_factory']}()"
            parameters.append(f"{name}: {kind} | None = None")
            body.append(f"self.{name} = {made} if {name} is None else {name}")
        elif options != {"init": "False"}:
            raise CannotWrite(f"{node.name}.{name}: field({options})")
    if "__post_init__" in _methods(node):
        body.append("self.__post_init__()")
    return [
        f"def __init__({', '.join(parameters)}) -> None:",
        *(f"    {line}" for line in body or ["pass"]),
    ]


def _field_options(value: ast.expr | None) -> dict[str | None, str] | None:
    """None if the field is not declared by `field(...)`."""
    if not isinstance(value, ast.Call) or ast.unparse(value.func) != "field":
        return None
    return {keyword.arg: ast.unparse(keyword.value) for keyword in value.keywords}
