"""Builds Kubernetes and etcd from Go modules, once per version, into a cache outside the clone.

`python -m tests.cluster.build` needs Go and its module proxy: 9 to 23 minutes and some gigabytes of
Go's caches the first time, nothing at all the next.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).parent / "kube"
SOURCE_FILES = ("go.mod", "go.sum", "main.go", "pause/main.go")
CACHE_VARIABLE = "EPP_KUBERNETES_CACHE"
# The official CRDs come out of the module, checked by Go's checksum database.
CRD_MODULE = "sigs.k8s.io/gateway-api-inference-extension@v1.5.0"
CRD_FOLDER = "config/crd/bases"
BUILD_SECONDS = 45 * 60.0


class CannotBuild(Exception):
    """What is missing, or what the compiler said."""


@dataclass(frozen=True, slots=True)
class Built:
    """One finished build. It never changes: another version has another folder."""

    folder: Path

    @property
    def program(self) -> Path:
        """Takes the name of the program that it is to be as its first argument: `kubelet`."""
        return self.folder / "kube"

    @property
    def pause(self) -> Path:
        """The first process of a Pod: static, and needs no arguments."""
        return self.folder / "pause"

    @property
    def crds(self) -> Path:
        """Folder of the official CRDs, in YAML."""
        return self.folder / "crds"

    @property
    def exists(self) -> bool:
        return self.program.exists() and self.pause.exists() and self.crds.is_dir()


def kubernetes_version() -> str:
    found = re.search(r"k8s\.io/kubernetes v(\S+)", (SOURCE / "go.mod").read_text(encoding="utf-8"))
    if found is None:
        raise CannotBuild(f"{SOURCE / 'go.mod'}: requires no k8s.io/kubernetes")
    return found[1]


def the_build() -> Built:
    """Where the build of these sources is, or will be."""
    digest = hashlib.sha256(CRD_MODULE.encode())
    for name in SOURCE_FILES:
        digest.update((SOURCE / name).read_bytes())
    return Built(cache() / f"{kubernetes_version()}-{digest.hexdigest()[:12]}")


def build() -> Built:
    """Does nothing if it is done. Raises CannotBuild."""
    built = the_build()
    if built.exists:
        return built
    if shutil.which("go") is None:
        raise CannotBuild("there is no `go` on the path, and Kubernetes is built from Go modules")
    built.folder.parent.mkdir(parents=True, exist_ok=True)
    # Made aside and renamed: a build that is interrupted is never taken for a whole one.
    with tempfile.TemporaryDirectory(prefix="building-", dir=built.folder.parent) as aside:
        fresh = Path(aside) / "whole"
        fresh.mkdir()
        _go(_build_arguments(fresh / "kube", "."))
        _go(_build_arguments(fresh / "pause", "./pause"))
        module = json.loads(_go(["mod", "download", "-json", CRD_MODULE]))
        shutil.copytree(
            Path(module["Dir"]) / CRD_FOLDER, fresh / "crds", copy_function=shutil.copyfile
        )
        try:
            fresh.rename(built.folder)
        except OSError:
            if not built.exists:  # not because another build was faster
                raise
    return built


def _build_arguments(program: Path, package: str) -> Sequence[str]:
    version = kubernetes_version()
    major, minor, *_ = version.split(".")
    # Without it the server calls itself v0.0.0, and features that ask for its version are off.
    facts = {"gitVersion": f"v{version}", "gitMajor": major, "gitMinor": minor}
    flags = [f"-X k8s.io/component-base/version.{name}={fact}" for name, fact in facts.items()]
    linker = " ".join(["-s -w", *flags, f"-X k8s.io/client-go/pkg/version.gitVersion=v{version}"])
    return [
        "build",
        "-trimpath",
        "-buildvcs=false",
        "-ldflags",
        linker,
        "-o",
        str(program),
        package,
    ]


def _go(arguments: Sequence[str]) -> str:
    done = subprocess.run(
        ["go", *arguments],
        cwd=SOURCE,
        env={"CGO_ENABLED": "0", **os.environ},
        stdout=subprocess.PIPE,
        text=True,
        timeout=BUILD_SECONDS,
        check=False,
    )
    if done.returncode:
        raise CannotBuild(f"go {' '.join(arguments)}: ended with {done.returncode}\n{done.stdout}")
    return done.stdout


def cache() -> Path:
    """EPP_KUBERNETES_CACHE, else a folder of the user's cache."""
    if given := os.environ.get(CACHE_VARIABLE):
        return Path(given).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "epp/kubernetes"


def main() -> None:
    begin = time.monotonic()
    if not the_build().exists:
        if shutil.which("go") is None:
            print("there is no `go` on the path: the tests on a cluster will be skipped")
            return
        print(f"building Kubernetes {kubernetes_version()}: 9 to 23 minutes the first time")
    try:
        built = build()
    except CannotBuild as error:
        sys.exit(f"cannot build Kubernetes: {error}")
    print(f"{built.folder}: Kubernetes {kubernetes_version()}, {time.monotonic() - begin:.0f} s")


if __name__ == "__main__":
    main()
