"""A server of `epp` as a process for one test: started as a user does, on loopback."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import cycle, islice
from pathlib import Path
from typing import Any
from urllib.request import urlopen

START_SECONDS = 60.0  # under a second on a machine that is not busy
STOP_SECONDS = 5.0


# Below what Linux gives to connections and to who asks for any port, so that nobody is given one
# between the probe and the start of the server. Each process of one run of tests has a range.
FIRST_PORT = 10_000
PORTS_OF_A_PROCESS = 2_500
MOST_PROCESSES = 9
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % MOST_PROCESSES
_BEGIN = 37 * os.getpid() % PORTS_OF_A_PROCESS  # tests of another clone begin elsewhere
_OFFSETS = cycle((_BEGIN + n) % PORTS_OF_A_PROCESS for n in range(PORTS_OF_A_PROCESS))


def free_ports(count: int) -> list[int]:
    """Different ones, and others than those of the calls before as long as there are."""
    found: list[int] = []
    for offset in islice(_OFFSETS, PORTS_OF_A_PROCESS):
        if len(found) == count:
            break
        port = FIRST_PORT + PORTS_OF_A_PROCESS * _WORKER + offset
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            found.append(port)
    if len(found) < count:
        raise RuntimeError(f"{count} free ports are wanted and {len(found)} found")
    return found


class ServerProcess:
    """With ports that were free, and a folder for its files and its log."""

    def __init__(
        self,
        name: str,
        folder: Path,
        *,
        subcommand: Sequence[str] = (),
        flags: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """The folder goes when the process is stopped; `environment` is added to ours.

        `flags` come after those of addresses and ports, so the last one wins.
        """
        self.folder = folder
        self.grpc_port, self.health_port, self.metrics_port = free_ports(3)
        self._name = name
        self._subcommand = tuple(subcommand)
        self._flags = tuple(flags)
        self._environment = {**os.environ, **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when the gRPC port is open. Raises RuntimeError with the log."""
        command = [
            *(sys.executable, "-m", "epp", *self._subcommand),
            *("--host", "127.0.0.1", "--secure-serving=false"),
            *("--grpc-port", str(self.grpc_port), "--grpc-health-port", str(self.health_port)),
            *("--metrics-port", str(self.metrics_port), *self._flags),
        ]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._listens():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self._name} did not start:\n{self.log()}")
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(0.02)

    def _listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.grpc_port), 1.0).close()
        except OSError:
            return False
        return True

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def wait(self, seconds: float = 15.0) -> int:
        """Its exit status. Raises subprocess.TimeoutExpired."""
        assert self._process is not None
        return self._process.wait(seconds)

    def kill(self) -> None:
        """As the kernel does it: no drain, no goodbye."""
        self.signal(signal.SIGKILL)
        self.wait()

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.signal(signal.SIGINT)
            try:
                self.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def lines(self, *words: str) -> list[dict[str, Any]]:
        """Lines of its log, of those that have all these words anywhere in them."""
        *whole, _being_written = self.log().split("\n")
        return [
            json.loads(line)
            for line in whole
            if line.startswith("{") and all(word in line for word in words)
        ]

    def metrics(self) -> dict[str, float]:
        """Every series by its name with labels, as on the page."""
        with urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=5) as page:
            text: str = page.read().decode()
        rows = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, _, value in rows}

    def metric(self, family: str, **labels: str) -> float:
        """The sum over the series of a family whose labels include these."""
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        return sum(
            value
            for series, value in self.metrics().items()
            if series.partition("{")[0] == family and all(part in series for part in wanted)
        )


def new_folder(prefix: str) -> Path:
    return Path(tempfile.mkdtemp(prefix=prefix))
