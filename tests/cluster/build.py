"""Builds Kubernetes and etcd from Go modules, once per version, into a cache outside the clone.

`python -m tests.cluster.build` needs Go and its module proxy: 9 to 23 minutes and some gigabytes of
Go's caches the first time, nothing at all the next.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.go_modules import CannotBuild, cache, from_command_line, go, go_build, make

SOURCE = Path(__file__).parent / "kube"
SOURCE_FILES = ("go.mod", "go.sum", "main.go", "pause/main.go")
# The official CRDs come out of the module, checked by Go's checksum database.
CRD_MODULE = "sigs.k8s.io/gateway-api-inference-extension@v1.5.0"
CRD_FOLDER = "config/crd/bases"


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
    make(built, _fill)
    return built


def _fill(folder: Path) -> None:
    go_build(folder / "kube", ".", SOURCE, _linker_flags())
    go_build(folder / "pause", "./pause", SOURCE, _linker_flags())
    module = json.loads(go(["mod", "download", "-json", CRD_MODULE], SOURCE))
    crds = Path(module["Dir"]) / CRD_FOLDER
    shutil.copytree(crds, folder / "crds", copy_function=shutil.copyfile)


def _linker_flags() -> str:
    version = kubernetes_version()
    major, minor, *_ = version.split(".")
    # Without it the server calls itself v0.0.0, and features that ask for its version are off.
    facts = {"gitVersion": f"v{version}", "gitMajor": major, "gitMinor": minor}
    flags = [f"-X k8s.io/component-base/version.{name}={fact}" for name, fact in facts.items()]
    return " ".join(["-s -w", *flags, f"-X k8s.io/client-go/pkg/version.gitVersion=v{version}"])


if __name__ == "__main__":
    name = f"Kubernetes {kubernetes_version()}"
    from_command_line(name, "9 to 23 minutes", the_build(), build)
