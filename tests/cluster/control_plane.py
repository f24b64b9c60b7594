"""etcd and kube-apiserver for one session; the API server can be killed and come back.

By themselves, on loopback, objects are what tests make of them: there is no controller manager and
no node.
"""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from urllib.request import Request, urlopen

import yaml

from tests.cluster.build import Built
from tests.cluster.program import Program, answers
from tests.helpers.certificates import Authority, KeyPair, bare_keys
from tests.helpers.process import free_ports

HOST = "127.0.0.1"
START_SECONDS = 60.0
STOP_SECONDS = 10.0
ISSUER = "https://kubernetes.default.svc.cluster.local"
# Of an API server with nothing beside it.
ALONE = {
    # Nobody makes the default service accounts that it asks for.
    "disable-admission-plugins": "ServiceAccount",
    "endpoint-reconciler-type": "none",  # it refuses loopback addresses
}


@dataclass(frozen=True, slots=True)
class Site:
    """Where a control plane runs. The default is this machine's loopback."""

    address: str = HOST  # of the API server
    services: str = "10.96.0.0/16"
    enter: Sequence[str] = ()  # a command that runs the command after it there
    flags: Mapping[str, object] = field(default_factory=lambda: ALONE)  # of the API server


class ControlPlane:
    """Call from the main thread: what is started dies with the thread that started it."""

    def __init__(self, built: Built, folder: Path, site: Site | None = None) -> None:
        self._built = built
        self._folder = folder
        self._site = site or Site()
        self._etcd_port, self._peer_port, self._api_port = free_ports(3)
        self.authority = Authority("test-authority")
        self.authority_file = folder / "test-authority.crt"
        self.authority_file.write_bytes(self.authority.certificate)
        self.admin = self.user_certificate("admin", ["system:masters"])
        its_service = str(ip_network(self._site.services)[1])
        addresses = [*{HOST, self._site.address}, its_service]
        serving = self.authority.server("kube-apiserver", addresses)
        self._serving = serving.write_pair(folder, "kube-apiserver")
        self.token_keys = bare_keys().write_pair(folder, "service-accounts")
        self._etcd: Program | None = None
        self._api_server: Program | None = None

    @property
    def url(self) -> str:
        return f"https://{self._site.address}:{self._api_port}"

    @property
    def api_port(self) -> int:
        return self._api_port

    def start(self) -> None:
        """Returns when the API server is ready. Raises ProgramFailed."""
        self._etcd = self.run("etcd", self._etcd_flags())
        self._start_api_server()
        self._wait_until_ready()

    def run(self, program: str, flags: Mapping[str, object]) -> Program:
        """Starts one of the programs of the build, where this control plane runs."""
        arguments = [f"--{name}={value}" for name, value in flags.items()]
        command = [*self._site.enter, str(self._built.program), program, *arguments]
        return Program(program, command, self._folder)

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
        return self.authority.trust()

    def admin_context(self) -> ssl.SSLContext:
        """The administrator's, who may do everything."""
        return self.authority.trust(self.admin)

    def user_certificate(self, user: str, groups: Sequence[str] = ()) -> KeyPair:
        return self.authority.client(user, groups).write_pair(self._folder, user)

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
        cluster = {"server": server or self.url, "certificate-authority": str(self.authority_file)}
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
        self._api_server = self.run("kube-apiserver", self._api_server_flags())

    def _wait_until_ready(self) -> None:
        assert self._api_server is not None
        context = self.admin_context()
        self._api_server.wait_until(lambda: answers(f"{self.url}/readyz", context), START_SECONDS)

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
            "bind-address": self._site.address,
            "secure-port": self._api_port,
            "tls-cert-file": self._serving.public,
            "tls-private-key-file": self._serving.private,
            "client-ca-file": self.authority_file,
            "service-account-issuer": ISSUER,
            "service-account-key-file": self.token_keys.public,
            "service-account-signing-key-file": self.token_keys.private,
            "service-cluster-ip-range": self._site.services,
            "authorization-mode": "RBAC",
            # To a kubelet, where there is one: for logs.
            "kubelet-client-certificate": self.admin.public,
            "kubelet-client-key": self.admin.private,
            "kubelet-preferred-address-types": "InternalIP",
            "profiling": "false",
            "v": 1,
            **self._site.flags,
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


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
