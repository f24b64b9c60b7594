"""A real Envoy for one test: started with a generated configuration, stopped when it is left."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sysconfig
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.request import urlopen

from epp.envoyconfig.listener import LISTENER

START_SECONDS = 20.0
STOP_SECONDS = 5.0
POLL_SECONDS = 0.02
LOG_TAIL_CHARACTERS = 4000


def envoy_path() -> Path:
    return Path(sysconfig.get_path("scripts")) / "envoy"


def validate(config: Mapping[str, object], folder: Path) -> str:
    """What Envoy says against a configuration; empty if it would start with it."""
    path = folder / "envoy.json"
    path.write_text(json.dumps(config))
    done = subprocess.run(
        [envoy_path(), "--mode", "validate", "-l", "warning", "-c", path],
        capture_output=True,
        text=True,
        timeout=START_SECONDS,
        check=False,
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


def put_first(config: Mapping[str, Any], http_filter: Mapping[str, object]) -> None:
    """In front of all HTTP filters of a generated configuration, as a gateway's own would be."""
    for listener in config["static_resources"]["listeners"]:
        manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
        manager["http_filters"] = [http_filter, *manager["http_filters"]]


@contextmanager
def refusing_port() -> Iterator[int]:
    """A port that refuses connections, and that nobody else can be given meanwhile."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


class RunningEnvoy:
    """Entering returns once the listener accepts. The configuration needs an admin address.

    Give port 0 to listener and admin: Envoy is then asked what it was given. It must be entered
    on the main thread: this Envoy gets SIGTERM when the thread that started it ends.
    """

    def __init__(self, config: Mapping[str, object], workers: int = 1) -> None:
        self._config = config
        self._workers = workers
        self._folder: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._admin = ""
        self.url = ""  # of the listener, without a trailing slash

    def __enter__(self) -> Self:
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("start Envoy from the main thread: it dies with its starter")
        self._folder = folder = Path(tempfile.mkdtemp(prefix="envoy-"))
        (folder / "envoy.json").write_text(json.dumps(self._config))
        with (folder / "envoy.log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    *(envoy_path(), "-c", "envoy.json", "--admin-address-path", "admin.txt"),
                    # Hot restart would leave a file in shared memory behind for every process.
                    *("--disable-hot-restart", "-l", "info"),
                    *("--concurrency", str(self._workers)),
                ],
                cwd=folder,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            self._wait_until_ready(self._process, folder / "admin.txt")
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Ends the process and forgets its files; a second call does nothing."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(STOP_SECONDS)
        if self._folder is not None:
            shutil.rmtree(self._folder)
            self._folder = None

    @property
    def pid(self) -> int:
        if self._process is None:
            raise RuntimeError("Envoy is not running")
        return self._process.pid

    def stats(self, prefix: str = "") -> dict[str, int]:
        """Counters and gauges by name, of those whose name starts with the prefix."""
        found = json.loads(self.admin("/stats?format=json"))["stats"]
        return {
            stat["name"]: stat["value"]
            for stat in found
            if stat.get("name", "").startswith(prefix) and isinstance(stat.get("value"), int)
        }

    def admin(self, path: str) -> str:
        """A GET of the admin interface."""
        with urlopen(f"http://{self._admin}{path}", timeout=STOP_SECONDS) as answer:
            text: str = answer.read().decode()
            return text

    def log(self) -> str:
        """The end of what Envoy wrote."""
        if self._folder is None:
            raise RuntimeError("Envoy is not running")
        return (self._folder / "envoy.log").read_text(errors="replace")[-LOG_TAIL_CHARACTERS:]

    def _wait_until_ready(self, process: subprocess.Popen[bytes], admin_file: Path) -> None:
        for _ in range(round(START_SECONDS / POLL_SECONDS)):
            with suppress(subprocess.TimeoutExpired):
                code = process.wait(POLL_SECONDS)
                raise RuntimeError(f"Envoy ended with {code}:\n{self.log()}")
            if admin_file.exists() and self._is_ready(admin_file.read_text().strip()):
                return
        raise RuntimeError(f"Envoy was not ready after {START_SECONDS} s:\n{self.log()}")

    def _is_ready(self, admin: str) -> bool:
        """Whether the workers have begun to listen; learns the addresses on the way."""
        if not admin:
            return False
        self._admin = admin
        if not self.stats("listener_manager.").get("listener_manager.workers_started"):
            return False
        listeners = json.loads(self.admin("/listeners?format=json"))["listener_statuses"]
        bound = next(each for each in listeners if each["name"] == LISTENER)
        bound_address = bound["local_address"]["socket_address"]
        host = bound_address["address"]
        host = f"[{host}]" if ":" in host else host
        self.url = f"http://{host}:{bound_address['port_value']}"
        return True
