"""Builds Istio's control plane from Go modules, once, into the cache of the cluster tests.

`make istio` needs Go and its module proxy: 10 to 13 minutes the first time.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.go_modules import CannotBuild, cache, from_command_line, go_build, make

SOURCE = Path(__file__).parent / "pilot"
PACKAGE = "istio.io/istio/pilot/cmd/pilot-discovery"
PROGRAM = "pilot-discovery"
LINKER_FLAGS = "-s -w -X istio.io/istio/pkg/version.buildVersion=main"
GIVEN = "EPP_PILOT_DISCOVERY"


@dataclass(frozen=True, slots=True)
class Istio:
    """One finished build."""

    pilot_discovery: Path

    @property
    def folder(self) -> Path:
        return self.pilot_discovery.parent

    @property
    def exists(self) -> bool:
        return self.pilot_discovery.exists()


def the_istio() -> Istio:
    """Where the build of these versions is, or will be; `EPP_PILOT_DISCOVERY` names another."""
    if given := os.environ.get(GIVEN):
        return Istio(Path(given).absolute())
    digest = hashlib.sha256(PACKAGE.encode())
    for name in ("go.mod", "go.sum"):
        digest.update((SOURCE / name).read_bytes())
    return Istio(cache() / f"istio-{digest.hexdigest()[:12]}" / PROGRAM)


def build() -> Istio:
    """Does nothing if it is done. Raises CannotBuild."""
    istio = the_istio()
    if os.environ.get(GIVEN) and not istio.exists:
        raise CannotBuild(f"{GIVEN}: there is no {istio.pilot_discovery}")
    make(istio, lambda folder: go_build(folder / PROGRAM, PACKAGE, SOURCE, LINKER_FLAGS))
    return istio


if __name__ == "__main__":
    from_command_line("Istio's control plane", "10 to 13 minutes", the_istio(), build, needed=True)
