"""containerd on the node's machine: the runtime that kubelet asks for containers."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.cluster.node.machine import Machine
from tests.cluster.program import Program

PAUSE_IMAGE = "localhost/pause:1"
PLUGINS = "/usr/lib/cni"
START_SECONDS = 30.0
COMMAND_SECONDS = 120.0
CONFIGURATION = """\
version = 2
root = "{folder}/containerd"
state = "{folder}/containerd-state"
[grpc]
address = "{folder}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{pause}"
# Root without CAP_SYS_RESOURCE cannot lower a score, and runc fails when it is told to.
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{plugins}"
conf_dir = "{folder}/cni"
"""


class RuntimeRefused(Exception):
    """What `ctr` says against it."""


class Containerd:
    def __init__(self, folder: Path, machine: Machine) -> None:
        self._folder = folder
        self._machine = machine
        self._program: Program | None = None

    @property
    def socket(self) -> Path:
        return self._folder / "containerd.sock"

    def start(self) -> None:
        """Returns when it answers. Raises ProgramFailed."""
        (self._folder / "cni").mkdir()
        network = self._folder / "cni/10-node.conflist"
        network.write_text(json.dumps(_network(self._folder, self._machine.addresses.pods)))
        settings = self._folder / "containerd.toml"
        settings.write_text(
            CONFIGURATION.format(folder=self._folder, pause=PAUSE_IMAGE, plugins=PLUGINS)
        )
        command = ("containerd", f"--config={settings}", "--log-level=warn")
        self._program = Program("containerd", self._machine.inside(*command), self._folder)
        self._program.wait_until(self._answers, START_SECONDS)

    def check(self) -> None:
        assert self._program is not None
        self._program.check()

    def stop(self) -> None:
        """Of what it has started, nothing is ended: that is for the machine."""
        if self._program is not None:
            self._program.kill()

    def import_image(self, archive: Path) -> None:
        self._ctr("images", "import", str(archive))

    def kill_container(self, container: str) -> None:
        """At once, as the kernel does when memory is short. `container` is an ID."""
        self._ctr("tasks", "kill", "--signal=SIGKILL", container)

    def _answers(self) -> bool:
        try:
            self._ctr("version")
        except RuntimeRefused:
            return False
        return True

    def _ctr(self, *arguments: str) -> None:
        done = subprocess.run(
            ["ctr", f"--address={self.socket}", "--namespace=k8s.io", *arguments],
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        if done.returncode:
            raise RuntimeRefused(f"ctr {' '.join(arguments)}: {done.stderr.strip()}")


def _network(folder: Path, pods: str) -> dict[str, object]:
    """Each Pod has a link of its own, so all that it sends passes the node's routes.

    On a bridge, what one Pod of a Service answers to another would not.
    """
    addresses = {
        "type": "host-local",
        "dataDir": str(folder / "addresses"),
        "ranges": [[{"subnet": pods}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    plugin = {"type": "ptp", "ipMasq": False, "ipam": addresses}
    return {"cniVersion": "1.0.0", "name": "node", "plugins": [plugin]}
