from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest


class Admin(HTTPServer):
    """Notes what is asked of an Envoy's admin interface, and answers with `status`."""

    def __init__(self, status: int) -> None:
        super().__init__(("127.0.0.1", 0), Asked)
        self.status = status
        self.asked: list[str] = []

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_port}"


class Asked(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        server = self.server
        assert isinstance(server, Admin)
        server.asked.append(self.path)
        self.send_response(server.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(params=[200])
def admin(request: pytest.FixtureRequest) -> Iterator[Admin]:
    server = Admin(request.param)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def drained(address: str) -> tuple[int, str]:
    """What the process ends with after SIGTERM, and what it says."""
    process = subprocess.Popen(
        [sys.executable, "-m", "epp", "envoy-drain", "--admin", address],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert "waiting for SIGTERM" in process.stderr.readline()
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=20)
    return process.returncode, said


def test_on_sigterm_envoy_is_told_to_drain_and_to_live_on(admin: Admin) -> None:
    assert drained(admin.address) == (0, "draining\n")
    assert admin.asked == ["/drain_listeners?graceful&skip_exit"]


@pytest.mark.parametrize("admin", [405], indirect=True)
def test_a_refusal_is_said(admin: Admin) -> None:
    status, said = drained(admin.address)
    assert (status, said) == (1, f"epp envoy-drain: --admin {admin.address}: it answers 405\n")


def test_an_envoy_that_is_not_there_is_said() -> None:
    status, said = drained("127.0.0.1:1")
    assert status == 1
    assert "--admin 127.0.0.1:1: " in said
