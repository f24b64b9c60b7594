"""Builds Istio's control plane from Go modules, once, into the cache of the cluster tests.

`make istio` needs Go and its module proxy: about 13 minutes the first time.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.cluster.build import BUILD_SECONDS, CannotBuild, cache

SOURCE = Path(__file__).parent / "pilot"
PACKAGE = "istio.io/istio/pilot/cmd/pilot-discovery"
GIVEN = "EPP_PILOT_DISCOVERY"


def pilot_discovery() -> Path:
    """Where the build of these versions is, or will be; `EPP_PILOT_DISCOVERY` names another."""
    if given := os.environ.get(GIVEN):
        return Path(given).absolute()
    digest = hashlib.sha256(PACKAGE.encode())
    for name in ("go.mod", "go.sum"):
        digest.update((SOURCE / name).read_bytes())
    return cache() / f"istio-{digest.hexdigest()[:12]}" / "pilot-discovery"


def build() -> Path:
    """Does nothing if it is done. Raises CannotBuild."""
    program = pilot_discovery()
    if program.exists():
        return program
    if GIVEN in os.environ:
        raise CannotBuild(f"{GIVEN}: there is no {program}")
    if shutil.which("go") is None:
        raise CannotBuild("there is no `go` on the path, and Istio is built from Go modules")
    program.parent.mkdir(parents=True, exist_ok=True)
    # Made aside and renamed: a build that is interrupted is never taken for a whole one.
    with tempfile.TemporaryDirectory(prefix="building-", dir=program.parent) as aside:
        fresh = Path(aside) / program.name
        linker = "-s -w -X istio.io/istio/pkg/version.buildVersion=main"
        command = ["build", "-trimpath", "-buildvcs=false", "-ldflags", linker]
        done = subprocess.run(
            ["go", *command, "-o", str(fresh), PACKAGE],
            cwd=SOURCE,
            env={"CGO_ENABLED": "0", **os.environ},
            timeout=BUILD_SECONDS,
            check=False,
        )
        if done.returncode:
            raise CannotBuild(f"go build {PACKAGE}: ended with {done.returncode}")
        fresh.replace(program)
    return program


def main() -> None:
    begin = time.monotonic()
    if not pilot_discovery().exists():
        print("building Istio's control plane: about 13 minutes the first time", flush=True)
    try:
        program = build()
    except CannotBuild as error:
        sys.exit(f"cannot build: {error}")
    print(f"{program}: {time.monotonic() - begin:.0f} s")


if __name__ == "__main__":
    main()
