"""A cluster with a real node, made by somebody else: images go in, the chart is installed on it.

`EPP_NODE_KUBECONFIG` names its administrator's kubeconfig, with the certificates in it, and
`EPP_NODE_CONTAINERD` the socket of the node's containerd, on this machine.
"""

from __future__ import annotations

import base64
import os
import ssl
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.cluster.api import Api, Object
from tests.cluster.chart import CHART, Refused
from tests.cluster.tools import Tools

KUBECONFIG = "EPP_NODE_KUBECONFIG"
CONTAINERD = "EPP_NODE_CONTAINERD"
READY_SECONDS = 90


@dataclass(frozen=True, slots=True)
class Node:
    kubeconfig: Path
    containerd: Path
    tools: Tools

    def api(self) -> Api:
        """As the administrator."""
        config = yaml.safe_load(self.kubeconfig.read_text(encoding="utf-8"))
        [cluster], [user] = config["clusters"], config["users"]
        authority = base64.b64decode(cluster["cluster"]["certificate-authority-data"]).decode()
        context = ssl.create_default_context(cadata=authority)
        with tempfile.NamedTemporaryFile("wb", suffix=".pem") as pair:
            for key in ("client-certificate-data", "client-key-data"):
                pair.write(base64.b64decode(user["user"][key]))
            pair.flush()
            context.load_cert_chain(pair.name)
        return Api(cluster["cluster"]["server"], context)

    def import_image(self, archive: Path) -> None:
        self._ctr("images", "import", str(archive))

    @contextmanager
    def cut_off(self, pod: Object, address: str) -> Iterator[None]:
        """Inside the block this Pod opens no connection to the address; others do."""
        [status] = pod["status"]["containerStatuses"]
        tasks = [line.split() for line in self._ctr("tasks", "ls").splitlines()]
        [pid] = [task[1] for task in tasks if status["containerID"].endswith(f"/{task[0]}")]
        route = ["nsenter", f"--net=/proc/{pid}/ns/net", "ip", "route"]
        _run([*route, "add", "unreachable", f"{address}/32"])
        try:
            yield
        finally:
            _run([*route, "del", "unreachable", f"{address}/32"])

    def install(
        self, release: str, namespace: str, *values: str, files: Sequence[Path] = ()
    ) -> None:
        """Or upgrades. Returns when everything is ready. Raises Refused.

        `values` win over those of the files, a later file over an earlier one.
        """
        settings = [f"--values={file}" for file in files] + [f"--set={one}" for one in values]
        wait = ["--install", "--wait", f"--timeout={READY_SECONDS}s"]
        self._helm("upgrade", release, str(CHART), f"--namespace={namespace}", *wait, *settings)

    @contextmanager
    def release(self, release: str, namespace: str, *values: str) -> Iterator[None]:
        """Installed inside the block, and uninstalled whatever happens in it."""
        try:
            self.install(release, namespace, *values)
            yield
        finally:
            self.uninstall(release, namespace)

    def uninstall(self, release: str, namespace: str) -> None:
        """Returns when its Pods are gone. One that is not there is no error."""
        wait = ("--wait", "--ignore-not-found")
        self._helm("uninstall", release, f"--namespace={namespace}", *wait)

    def _helm(self, *arguments: str) -> None:
        _run([str(self.tools.helm), f"--kubeconfig={self.kubeconfig}", *arguments])

    def _ctr(self, *arguments: str) -> str:
        return _run(["ctr", "-a", str(self.containerd), "-n", "k8s.io", *arguments])


def given_node(tools: Tools) -> Node | None:
    """None where the environment names none."""
    kubeconfig, containerd = os.environ.get(KUBECONFIG), os.environ.get(CONTAINERD)
    if not kubeconfig or not containerd:
        return None
    return Node(Path(kubeconfig), Path(containerd), tools)


def _run(command: Sequence[str]) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=READY_SECONDS + 30, check=False
    )
    if done.returncode:
        raise Refused(done.stderr + done.stdout)
    return done.stdout
