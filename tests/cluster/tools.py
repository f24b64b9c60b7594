"""helm and kustomize, and CRDs of neighbours, from Go modules: built once into the cache.

`python -m tests.cluster.tools` needs Go and its module proxy: about five minutes the first time.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.build import BUILD_SECONDS, CannotBuild, cache

# What helm takes a cluster to be that it has not asked.
KUBERNETES_MINOR = "34"
HELM_FACTS = (
    f"-X helm.sh/helm/v3/pkg/{package}.k8sVersion{part}={value}"
    for package in ("lint/rules", "chartutil")
    for part, value in (("Major", "1"), ("Minor", KUBERNETES_MINOR))
)
PROGRAMS = {
    "helm.sh/helm/v3/cmd/helm@v3.22.0": f"-s -w {' '.join(HELM_FACTS)}",
    "sigs.k8s.io/kustomize/kustomize/v5@v5.8.1": "-s -w",
}
# Module -> files or folders of CRDs in it, checked by Go's checksum database.
DEFINITIONS = {
    "sigs.k8s.io/gateway-api@v1.5.1": ("config/crd/standard",),
    "istio.io/api@v1.28.0": ("kubernetes/customresourcedefinitions.gen.yaml",),
    "github.com/kedacore/keda/v2@v2.18.0": ("config/crd/bases/keda.sh_scaledobjects.yaml",),
    "github.com/prometheus-operator/prometheus-operator@v0.85.0": (
        "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
    ),
}


@dataclass(frozen=True, slots=True)
class Tools:
    """One finished build. It never changes: another version has another folder."""

    folder: Path

    @property
    def helm(self) -> Path:
        return self.folder / "bin/helm"

    @property
    def kustomize(self) -> Path:
        return self.folder / "bin/kustomize"

    @property
    def crds(self) -> Path:
        """Folder of the neighbours' CRDs, in YAML."""
        return self.folder / "crds"

    @property
    def exists(self) -> bool:
        return self.folder.is_dir()


def the_tools() -> Tools:
    """Where the build of these versions is, or will be."""
    versions = json.dumps([PROGRAMS, DEFINITIONS], sort_keys=True)
    return Tools(cache() / f"tools-{hashlib.sha256(versions.encode()).hexdigest()[:12]}")


def build() -> Tools:
    """Does nothing if it is done. Raises CannotBuild."""
    tools = the_tools()
    if tools.exists:
        return tools
    if shutil.which("go") is None:
        raise CannotBuild("there is no `go` on the path, and the tools are built from Go modules")
    tools.folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="building-", dir=tools.folder.parent) as aside:
        fresh = Path(aside) / "whole"
        (fresh / "crds").mkdir(parents=True)
        for program, linker in PROGRAMS.items():
            _go(["install", "-trimpath", "-buildvcs=false", "-ldflags", linker, program], fresh)
        for module, places in DEFINITIONS.items():
            folder = Path(json.loads(_go(["mod", "download", "-json", module], fresh))["Dir"])
            for place in places:
                _copy(folder / place, fresh / "crds" / module.replace("/", "_"))
        try:
            fresh.rename(tools.folder)
        except OSError:
            if not tools.exists:  # not because another build was faster
                raise
    return tools


def _copy(place: Path, target: Path) -> None:
    target.mkdir(exist_ok=True)
    for file in sorted(place.glob("*.yaml")) if place.is_dir() else [place]:
        shutil.copyfile(file, target / file.name)


def _go(arguments: Sequence[str], folder: Path) -> str:
    done = subprocess.run(
        ["go", *arguments],
        cwd=folder,
        env={"CGO_ENABLED": "0", **os.environ, "GOBIN": str(folder / "bin")},
        stdout=subprocess.PIPE,
        text=True,
        timeout=BUILD_SECONDS,
        check=False,
    )
    if done.returncode:
        raise CannotBuild(f"go {' '.join(arguments)}: ended with {done.returncode}\n{done.stdout}")
    return done.stdout


def main() -> None:
    begin = time.monotonic()
    if not the_tools().exists:
        print("building helm and kustomize: about five minutes the first time", flush=True)
    try:
        tools = build()
    except CannotBuild as error:
        sys.exit(f"cannot build: {error}")
    print(f"{tools.folder}: helm, kustomize, CRDs, {time.monotonic() - begin:.0f} s")


if __name__ == "__main__":
    main()
