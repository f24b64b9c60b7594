"""helm and kustomize, and CRDs of neighbours, from Go modules: built once into the cache.

`python -m tests.cluster.tools` needs Go and its module proxy: about five minutes the first time.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.go_modules import build_flags, cache, from_command_line, go, make

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
    make(tools, _fill)
    return tools


def _fill(folder: Path) -> None:
    for program, linker in PROGRAMS.items():
        go(["install", *build_flags(linker), program], folder, GOBIN=str(folder / "bin"))
    (folder / "crds").mkdir()
    for module, places in DEFINITIONS.items():
        found = Path(json.loads(go(["mod", "download", "-json", module], folder))["Dir"])
        for place in places:
            _copy(found / place, folder / "crds" / module.replace("/", "_"))


def _copy(place: Path, target: Path) -> None:
    target.mkdir(exist_ok=True)
    for file in sorted(place.glob("*.yaml")) if place.is_dir() else [place]:
        shutil.copyfile(file, target / file.name)


if __name__ == "__main__":
    from_command_line("helm, kustomize and CRDs", "about five minutes", the_tools(), build)
