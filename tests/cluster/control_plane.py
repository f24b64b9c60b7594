"""etcd and kube-apiserver on loopback for one session; the API server can be killed and come back.

There is no controller manager and no node: objects are what tests make of them.
"""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.request import Request, urlopen

import yaml

from epp.local.processes import die_with_parent
from tests.cluster.build import Built
from tests.cluster.certificates import Authority, KeyPair, bare_keys
from tests.helpers.picker import free_ports

HOST = "127.0.0.1"
START_SECONDS = 60.0
STOP_SECONDS = 10.0
POLL_SECONDS = 0.1
LOG_TAIL_CHARACTERS = 4000
ISSUER = "https://kubernetes.default.svc.cluster.local"


class ControlPlane:
    """Call from the main thread: what is started dies with the thread that started it."""

    def __init__(self, built: Built, folder: Path) -> None:
        self._built = built
        self._folder = folder
        self._etcd_port, self._peer_port, self._api_port = free_ports(3)
        self.authority = Authority(folder)
        self.admin = self.authority.client("admin", ["system:masters"])
        self._serving = self.authority.server("kube-apiserver", [HOST, "10.96.0.1"])
        self._token_keys = bare_keys(folder, "service-accounts")
        self._etcd: Program | None = None
        self._api_server: Program | None = None

    @property
    def url(self) -> str:
        return f"https://{HOST}:{self._api_port}"

    @property
    def api_port(self) -> int:
        return self._api_port

    def start(self) -> None:
        """Returns when the API server is ready. Raises ProgramFailed."""
        self._etcd = Program("etcd", self._command("etcd", self._etcd_flags()), self._folder)
        self._start_api_server()
        self._wait_until_ready()

    def stop(self) -> None:
        for program in (self._api_server, self._etcd):
            if program is not None:
                program.kill()  # what they would save on the way is thrown away

    def kill_api_server(self) -> None:
        """As a machine dies: connections break, and the port refuses."""
        assert self._api_server is not None
        self._api_server.kill()

    async def restart_api_server(self) -> None:
        """On the same port, with what etcd holds. Returns when it is ready."""
        self.kill_api_server()
        self._start_api_server()
        await asyncio.to_thread(self._wait_until_ready)

    @asynccontextmanager
    async def without_api_server(self) -> AsyncIterator[None]:
        """It is away inside the block, and ready again after it."""
        self.kill_api_server()
        try:
            yield
        finally:
            await self.restart_api_server()

    def compact(self) -> int:
        """Make etcd forget all history; the revision up to which it did."""
        revision = int(self._etcd_call("kv/range", key=_base64(b"0"))["header"]["revision"])
        self._etcd_call("kv/compaction", revision=str(revision), physical=True)
        return revision

    def trust(self) -> ssl.SSLContext:
        """Knows the server, and says nothing of who asks: that is for a token."""
        return ssl.create_default_context(cafile=str(self.authority.file))

    def admin_context(self) -> ssl.SSLContext:
        """The administrator's, who may do everything."""
        context = self.trust()
        context.load_cert_chain(self.admin.public, self.admin.private)
        return context

    def kubeconfig(
        self,
        name: str,
        *,
        token: str = "",
        certificate: KeyPair | None = None,
        server: str = "",
    ) -> Path:
        """A file for `--kubeconfig`; `server` replaces the URL, say by that of a relay."""
        path = self._folder / name
        user: dict[str, object] = {"token": token}
        if certificate is not None:
            user = {
                "client-certificate": str(certificate.public),
                "client-key": str(certificate.private),
            }
        cluster = {"server": server or self.url, "certificate-authority": str(self.authority.file)}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": "test", "user": user}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        }
        path.write_text(yaml.safe_dump(document), encoding="utf-8")
        return path

    def _start_api_server(self) -> None:
        command = self._command("kube-apiserver", self._api_server_flags())
        self._api_server = Program("kube-apiserver", command, self._folder)

    def _wait_until_ready(self) -> None:
        assert self._api_server is not None
        context, deadline = self.admin_context(), time.monotonic() + START_SECONDS
        while not _answers(f"{self.url}/readyz", context):
            self._api_server.check()
            if time.monotonic() > deadline:
                tail = self._api_server.tail()
                raise ProgramFailed(f"kube-apiserver not ready after {START_SECONDS:g} s:\n{tail}")
            time.sleep(POLL_SECONDS)  # noqa: TID251

    def _command(self, program: str, flags: dict[str, object]) -> list[str]:
        return [
            *(str(self._built.program), program),
            *(f"--{name}={value}" for name, value in flags.items()),
        ]

    def _etcd_flags(self) -> dict[str, object]:
        client, peer = (f"http://{HOST}:{port}" for port in (self._etcd_port, self._peer_port))
        return {
            "data-dir": self._folder / "etcd",
            "unsafe-no-fsync": "true",
            "log-level": "warn",
            "listen-client-urls": client,
            "advertise-client-urls": client,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": f"default={peer}",
        }

    def _api_server_flags(self) -> dict[str, object]:
        return {
            "etcd-servers": f"http://{HOST}:{self._etcd_port}",
            "bind-address": HOST,
            "secure-port": self._api_port,
            "tls-cert-file": self._serving.public,
            "tls-private-key-file": self._serving.private,
            "client-ca-file": self.authority.file,
            "service-account-issuer": ISSUER,
            "service-account-key-file": self._token_keys.public,
            "service-account-signing-key-file": self._token_keys.private,
            "service-cluster-ip-range": "10.96.0.0/16",
            "authorization-mode": "RBAC",
            # Nobody makes the default service accounts that it asks for.
            "disable-admission-plugins": "ServiceAccount",
            "endpoint-reconciler-type": "none",  # it refuses loopback addresses
            "profiling": "false",
            "v": 1,
        }

    def _etcd_call(self, method: str, **body: object) -> dict[str, dict[str, str]]:
        request = Request(
            f"http://{HOST}:{self._etcd_port}/v3/{method}",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urlopen(request, timeout=STOP_SECONDS) as answer:
            found: dict[str, dict[str, str]] = json.load(answer)
            return found


class ProgramFailed(Exception):
    """A program ended, or does not get ready; with the end of its log."""


class Program:
    """One process with its log, which a restart continues."""

    def __init__(self, name: str, command: Sequence[str], folder: Path) -> None:
        self._name = name
        self._log = folder / f"{name}.log"
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )

    def check(self) -> None:
        """Raises ProgramFailed if it has ended."""
        code = self._process.poll()
        if code is not None:
            raise ProgramFailed(f"{self._name} ended with {code}:\n{self.tail()}")

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(STOP_SECONDS)

    def tail(self) -> str:
        return self._log.read_text(errors="replace")[-LOG_TAIL_CHARACTERS:]


def _answers(url: str, context: ssl.SSLContext) -> bool:
    try:
        with urlopen(url, timeout=STOP_SECONDS, context=context) as answer:
            return bool(answer.status == 200)
    except OSError:  # refused, reset, or an HTTP status of what is not ready
        return False


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
