"""Programs and files out of Go modules: made once per version, in a cache outside the clone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

CACHE_VARIABLE = "EPP_KUBERNETES_CACHE"
BUILD_SECONDS = 45 * 60.0


class CannotBuild(Exception):
    """What is missing, or what the compiler said."""


class Product(Protocol):
    """What one build makes. It never changes: another version has another folder."""

    @property
    def folder(self) -> Path: ...

    @property
    def exists(self) -> bool:
        """Whether it is there, and whole."""


def cache() -> Path:
    """EPP_KUBERNETES_CACHE, else a folder of the user's cache."""
    if given := os.environ.get(CACHE_VARIABLE):
        return Path(given).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "epp/kubernetes"


def has_go() -> bool:
    return shutil.which("go") is not None


def make(product: Product, fill: Callable[[Path], object]) -> None:
    """Does nothing if it exists; else `fill` is given an empty folder. Raises CannotBuild."""
    if product.exists:
        return
    if not has_go():
        raise CannotBuild("there is no `go` on the path, and it is built from Go modules")
    product.folder.parent.mkdir(parents=True, exist_ok=True)
    # Made aside and renamed: a build that is interrupted is never taken for a whole one.
    with tempfile.TemporaryDirectory(prefix="building-", dir=product.folder.parent) as aside:
        fresh = Path(aside) / "whole"
        fresh.mkdir()
        fill(fresh)
        try:
            fresh.rename(product.folder)
        except OSError:
            if not product.exists:  # not because another build was faster
                raise


def go(arguments: Sequence[str], folder: Path, **environment: str) -> str:
    """Runs `go` in a folder, static unless the user says otherwise. Returns its output."""
    done = subprocess.run(
        ["go", *arguments],
        cwd=folder,
        env={"CGO_ENABLED": "0", **os.environ, **environment},
        stdout=subprocess.PIPE,
        text=True,
        timeout=BUILD_SECONDS,
        check=False,
    )
    if done.returncode:
        raise CannotBuild(f"go {' '.join(arguments)}: ended with {done.returncode}\n{done.stdout}")
    return done.stdout


def go_build(program: Path, package: str, source: Path, linker: str) -> None:
    """Builds one program; `linker` are its flags for the linker."""
    go(["build", *build_flags(linker), "-o", str(program), package], source)


def build_flags(linker: str) -> Sequence[str]:
    """Nothing of this machine's folders or of the clone's state gets into a program."""
    return ["-trimpath", "-buildvcs=false", "-ldflags", linker]


def from_command_line(
    name: str, takes: str, product: Product, build: Callable[[], object], *, needed: bool = False
) -> None:
    """Builds, and says what it does; `takes` is how long the first time.

    Where there is no Go only what is `needed` is an error: tests skip what has not been built.
    """
    begin = time.monotonic()
    if not product.exists:
        if not has_go() and not needed:
            print(f"there is no `go` on the path: tests that need {name} will be skipped")
            return
        print(f"building {name}: {takes} the first time", flush=True)
    try:
        build()
    except CannotBuild as error:
        sys.exit(f"cannot build {name}: {error}")
    print(f"{product.folder}: {name}, {time.monotonic() - begin:.0f} s")
