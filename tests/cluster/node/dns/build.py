"""Builds CoreDNS from Go modules, once, into the cache of the cluster tests.

`make dns` needs Go and its module proxy: 2 to 8 minutes the first time.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.go_modules import cache, from_command_line, go_build, make

SOURCE = Path(__file__).parent
SOURCE_FILES = ("go.mod", "go.sum", "main.go")
PROGRAM = "coredns"


@dataclass(frozen=True, slots=True)
class NameServer:
    """One finished build. It never changes: another version has another folder."""

    folder: Path

    @property
    def program(self) -> Path:
        return self.folder / PROGRAM

    @property
    def exists(self) -> bool:
        return self.program.exists()


def the_name_server() -> NameServer:
    """Where the build of these sources is, or will be."""
    digest = hashlib.sha256()
    for name in SOURCE_FILES:
        digest.update((SOURCE / name).read_bytes())
    return NameServer(cache() / f"dns-{digest.hexdigest()[:12]}")


def build() -> NameServer:
    """Does nothing if it is done. Raises CannotBuild."""
    made = the_name_server()
    make(made, lambda folder: go_build(folder / PROGRAM, ".", SOURCE, "-s -w"))
    return made


if __name__ == "__main__":
    from_command_line("CoreDNS", "2 to 8 minutes", the_name_server(), build, needed=True)
