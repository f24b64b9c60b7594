"""What a node needs of this machine, and what is missing of it, in words for a skipped test."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tests.cluster.node.containerd import PLUGINS
from tests.cluster.node.machine import UNSHARE

# Program -> Debian's package.
PROGRAMS = {
    "containerd": "containerd",
    "containerd-shim-runc-v2": "containerd",
    "ctr": "containerd",
    "runc": "runc",
    f"{PLUGINS}/ptp": "containernetworking-plugins",
    f"{PLUGINS}/host-local": "containernetworking-plugins",
    f"{PLUGINS}/loopback": "containernetworking-plugins",
    "nft": "nftables",
    "ip": "iproute2",
    "sysctl": "procps",
    "mount": "mount",
    "nsenter": "util-linux",
    "unshare": "util-linux",
}
PROBE_SECONDS = 10.0


def missing() -> str:
    """The reason why there can be no node here; empty if there can."""
    if os.geteuid() != 0:
        return "needs root: namespaces, mounts and containers are made"
    absent = [program for program in PROGRAMS if not shutil.which(program)]
    if absent:
        named = ", ".join(f"{program} (Debian's {PROGRAMS[program]})" for program in absent)
        return f"does not find on its path {named}"
    if not Path("/sys/fs/cgroup").is_dir():
        return "needs cgroups: there is no /sys/fs/cgroup"
    probe = [*UNSHARE, "true"]
    done = subprocess.run(probe, capture_output=True, text=True, timeout=PROBE_SECONDS, check=False)
    if done.returncode:
        return f"may make no namespaces: {done.stderr.strip()}"
    return ""
