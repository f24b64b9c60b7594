"""Releases of the chart on a cluster, installed and uninstalled by helm itself."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.chart import CHART, Refused
from tests.cluster.tools import Tools

READY_SECONDS = 90


@dataclass(frozen=True, slots=True)
class Helm:
    tools: Tools
    kubeconfig: Path

    def install(self, release: str, namespace: str, *values: str) -> None:
        """Or upgrades. Returns when everything is ready. Raises Refused."""
        settings = [f"--set={value}" for value in values]
        wait = ["--install", "--wait", f"--timeout={READY_SECONDS}s"]
        self._run("upgrade", release, str(CHART), f"--namespace={namespace}", *wait, *settings)

    def uninstall(self, release: str, namespace: str) -> None:
        """Returns when all of it is gone. Raises Refused."""
        options = (f"--namespace={namespace}", "--wait", "--ignore-not-found")
        self._run("uninstall", release, *options)

    @contextmanager
    def release(self, release: str, namespace: str, *values: str) -> Iterator[None]:
        """Installed inside the block, and uninstalled whatever happens in it."""
        try:
            self.install(release, namespace, *values)
            yield
        finally:
            self.uninstall(release, namespace)

    def _run(self, *arguments: str) -> None:
        done = subprocess.run(
            [str(self.tools.helm), f"--kubeconfig={self.kubeconfig}", *arguments],
            capture_output=True,
            text=True,
            timeout=READY_SECONDS + 30,
            check=False,
        )
        if done.returncode:
            raise Refused(done.stderr + done.stdout)
