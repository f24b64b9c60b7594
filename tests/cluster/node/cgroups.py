"""A cgroup for all Pods of one node, in either version of the kernel's interface."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
CONTROLLERS = ("cpu", "cpuset", "memory", "pids", "hugetlb")
REMOVE_SECONDS = 5.0
POLL_SECONDS = 0.1


class Cgroup:
    def __init__(self, name: str) -> None:
        """`name` is a path below the root: `/of-tests`."""
        self.name = name

    def create(self) -> None:
        for folder in self._folders():
            folder.mkdir(exist_ok=True)

    def remove(self) -> None:
        """With those below it, once their processes have ended. What stays behind is empty."""
        deadline = time.monotonic() + REMOVE_SECONDS
        while not all([_removed(folder) for folder in self._folders()]):  # noqa: C419
            if time.monotonic() > deadline:
                return
            time.sleep(POLL_SECONDS)  # noqa: TID251

    def _folders(self) -> list[Path]:
        if (ROOT / "cgroup.controllers").exists():  # version 2: one tree
            there = (ROOT / "cgroup.controllers").read_text().split()
            wanted = " ".join(f"+{one}" for one in CONTROLLERS if one in there)
            (ROOT / "cgroup.subtree_control").write_text(wanted)
            return [ROOT / self.name[1:]]
        # Version 1: a tree for each controller, some of which are links to another.
        trees = [one for one in ROOT.iterdir() if one.is_dir() and not one.is_symlink()]
        return [tree / self.name[1:] for tree in trees]


def _removed(folder: Path) -> bool:
    for below, _, _ in os.walk(folder, topdown=False):
        with suppress(OSError):  # busy, for a moment
            Path(below).rmdir()
    return not folder.exists()
