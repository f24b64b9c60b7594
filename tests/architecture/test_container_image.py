"""The image cannot be built in these tests: at least all that its build copies must reach it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from scripts.compile import SCRIPTS

ROOT = Path(__file__).parents[2]


def copied() -> set[str]:
    """Files and folders of this repository that the Dockerfile copies."""
    text = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text())
    lines = [shlex.split(line)[1:] for line in text.splitlines() if line.startswith("COPY ")]
    return {source for line in lines if "--from=build" not in line for source in line[:-1]}


def let_through() -> set[str]:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in lines
    return {line[1:] for line in lines if line.startswith("!")}


def test_what_is_copied_exists_and_is_let_through() -> None:
    allowed = let_through()
    for source in copied():
        assert (ROOT / source).exists(), source
        assert {source, source.partition("/")[0]} & allowed, f".dockerignore keeps {source} out"


def test_nothing_else_is_let_through() -> None:
    for allowed in let_through():
        assert any(source == allowed or source.startswith(f"{allowed}/") for source in copied())


def test_all_that_compiles_is_copied() -> None:
    assert {f"scripts/{name}" for name in SCRIPTS} <= copied()
