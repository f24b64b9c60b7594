"""Write the parts of `manifests/` that are the chart's; `--check` says whether they are current.

Kustomize users get plain YAML, and there is one source: `charts/epp`. Needs helm.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
CHART = ROOT / "charts/epp"
MANIFESTS = ROOT / "manifests"
NAMESPACE = "inference"
KUBERNETES = "1.34.0"
HEADER = "# Made by `make manifests` from the chart. Change the values file, not this.\n"
SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Rendered:
    """One release of the chart, or some of its templates, under a path in `manifests/`."""

    path: str
    release: str
    values: tuple[str, ...]
    templates: tuple[str, ...] = ()  # empty: all


GKE = ("gke", "monitoring", "autoscaling")
BODY_ROUTING = ("bbr/service", "bbr/rbac")
ISTIO = ("istio", "networkpolicy")
TWO = "overlays/two-pools"
REASONING = f"{TWO}/pools/reasoning-values.yaml"
GOVERNANCE = f"{TWO}/pools/governance-values.yaml"
KIND = "overlays/two-pools-kind"

ALL = (
    Rendered("base/epp.yaml", "vllm", ("base/values.yaml",)),
    Rendered(
        "overlays/kind/istio.yaml",
        "vllm",
        ("base/values.yaml", "overlays/kind/values.yaml"),
        ("istio", "httproute"),
    ),
    Rendered(
        "overlays/gke/gke.yaml",
        "vllm",
        ("base/values.yaml", "overlays/gke/values.yaml"),
        (*GKE, "httproute"),
    ),
    Rendered(f"{TWO}/pools/reasoning-epp.yaml", "reasoning", (REASONING,)),
    Rendered(f"{TWO}/pools/governance-epp.yaml", "governance", (GOVERNANCE,)),
    Rendered(
        f"{TWO}/reasoning-gke.yaml",
        "reasoning",
        (REASONING, f"{TWO}/gke-values.yaml", f"{TWO}/reasoning-gke-values.yaml"),
        (*GKE, *BODY_ROUTING, "bbr/gke"),
    ),
    Rendered(
        f"{TWO}/governance-gke.yaml",
        "governance",
        (GOVERNANCE, f"{TWO}/gke-values.yaml", f"{TWO}/governance-gke-values.yaml"),
        GKE,
    ),
    Rendered(
        f"{KIND}/reasoning-istio.yaml",
        "reasoning",
        (REASONING, f"{KIND}/istio-values.yaml", f"{KIND}/reasoning-istio-values.yaml"),
        (*ISTIO, *BODY_ROUTING, "bbr/istio"),
    ),
    Rendered(
        f"{KIND}/governance-istio.yaml",
        "governance",
        (GOVERNANCE, f"{KIND}/istio-values.yaml"),
        ISTIO,
    ),
)


def text_of(rendered: Rendered, helm: str) -> str:
    """Raises subprocess.CalledProcessError with what helm says."""
    command: list[str] = [helm, "template", rendered.release, str(CHART), "--namespace", NAMESPACE]
    command += ["--kube-version", KUBERNETES]
    for file in rendered.values:
        command += ["--values", str(MANIFESTS / file)]
    for template in rendered.templates:
        command += ["--show-only", f"templates/{template}.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    if done.returncode:
        sys.exit(f"{rendered.path}: {done.stderr.strip()}")
    lines = (line for line in done.stdout.splitlines() if not line.startswith("# Source:"))
    return HEADER + "\n".join(lines).strip().removeprefix("---").lstrip() + "\n"


def stale(helm: str, parts: Sequence[Rendered] = ALL) -> list[str]:
    """Paths whose content is not what the chart makes now."""
    return [
        part.path
        for part in parts
        if not (MANIFESTS / part.path).is_file()
        or (MANIFESTS / part.path).read_text(encoding="utf-8") != text_of(part, helm)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail if something is not current")
    parser.add_argument("--helm", default=shutil.which("helm"), help="its executable")
    arguments = parser.parse_args()
    if not arguments.helm:
        sys.exit("there is no `helm` on the path; --helm names it")
    if arguments.check:
        if old := stale(arguments.helm):
            sys.exit(f"not what the chart makes: {', '.join(old)}; run `make manifests`")
        return
    for part in ALL:
        (MANIFESTS / part.path).write_text(text_of(part, arguments.helm), encoding="utf-8")


if __name__ == "__main__":
    main()
