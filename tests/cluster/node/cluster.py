"""A Kubernetes of one node: control plane, controllers, scheduler, containerd, kubelet, kube-proxy.

All but containerd, runc and the network plugins, which are Debian's, is `tests.cluster.build`'s.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import yaml

from tests.cluster.api import Api
from tests.cluster.build import Built
from tests.cluster.control_plane import ControlPlane, Site
from tests.cluster.image import write_image
from tests.cluster.node import settings
from tests.cluster.node.containerd import PAUSE_IMAGE, Containerd
from tests.cluster.node.dns.build import NameServer
from tests.cluster.node.machine import Machine
from tests.cluster.program import Program, answers

READY_SECONDS = 60.0
ANSWER_SECONDS = 10.0


class Cluster:
    """Call from the main thread: what is started dies with the thread that started it."""

    def __init__(self, built: Built, folder: Path, name_server: NameServer) -> None:
        """Where the name server has not been built, Pods find no names."""
        self._built = built
        self._name_server = name_server
        self._folder = folder
        self._machine = Machine(folder, built.pause)
        self._containerd = Containerd(folder, self._machine)
        self._control_plane: ControlPlane | None = None
        self._programs: list[Program] = []

    @property
    def kubeconfig(self) -> Path:
        """The administrator's."""
        return self._folder / "admin.kubeconfig"

    def api(self) -> Api:
        """As the administrator."""
        plane = self._plane
        return Api(plane.url, plane.admin_context())

    def start(self) -> None:
        """Returns when the node is ready. Raises NoMachine, ProgramFailed; `stop` is due then."""
        self._machine.start()
        self._containerd.start()
        self._import_pause()
        addresses = self._machine.addresses
        flags = {
            "advertise-address": addresses.node,
            "authorization-mode": "Node,RBAC",
            "enable-admission-plugins": "NodeRestriction",
        }
        enter = self._machine.on_network()
        site = Site(addresses.node, addresses.services, enter, flags)
        self._control_plane = ControlPlane(self._built, self._folder, site)
        self._plane.start()
        self._plane.kubeconfig(self.kubeconfig.name, certificate=self._plane.admin)
        if self._name_server.exists:
            self._start_name_server()
        kubelet = self._start_kubelet()
        self._start_kube_proxy()
        controllers = self._start_controllers()
        controllers.wait_until(self._has_default_account, READY_SECONDS)
        kubelet.wait_until(self._has_node, READY_SECONDS)

    def stop(self) -> None:
        """All of it ends and is taken away, whatever state it is in."""
        with ExitStack() as stops:  # each is tried, in reverse
            stops.callback(self._machine.stop)
            stops.callback(self._containerd.stop)
            if self._control_plane is not None:
                stops.callback(self._control_plane.stop)
            for program in self._programs:
                stops.callback(program.kill)

    def check(self) -> None:
        """Raises ProgramFailed if something has ended by itself."""
        for program in self._programs:
            program.check()
        self._containerd.check()

    def import_image(self, archive: Path) -> None:
        self._containerd.import_image(archive)

    def kill_container(self, container: str) -> None:
        """`container` is an ID, as the status of a Pod has it."""
        self._containerd.kill_container(container.removeprefix("containerd://"))

    @contextmanager
    def cut_off(self, container: str, address: str) -> Iterator[None]:
        """Inside the block the Pod of this container does not reach the address, and others do."""
        process = self._containerd.process_of(container.removeprefix("containerd://"))
        route = ("nsenter", f"--net=/proc/{process}/ns/net", "ip", "route")
        self._machine.run(*route, "add", "unreachable", f"{address}/32")
        try:
            yield
        finally:
            self._machine.run(*route, "del", "unreachable", f"{address}/32")

    @property
    def _plane(self) -> ControlPlane:
        assert self._control_plane is not None, "not started"
        return self._control_plane

    def _import_pause(self) -> None:
        root, archive = self._folder / "pause", self._folder / "pause.tar"
        root.mkdir()
        (root / "pause").write_bytes(self._built.pause.read_bytes())
        (root / "pause").chmod(0o755)
        write_image(archive, PAUSE_IMAGE, root, ["/pause"], {})
        self.import_image(archive)

    def _start_controllers(self) -> Program:
        plane = self._plane
        common = {"bind-address": "127.0.0.1", "leader-elect": "false", "v": 1}
        scheduler = {
            **common,
            "kubeconfig": self._account("system:kube-scheduler"),
            "cert-dir": self._folder / "scheduler",
        }
        controllers = {
            **common,
            "kubeconfig": self._account("system:kube-controller-manager"),
            "cert-dir": self._folder / "controllers",
            "use-service-account-credentials": "true",
            "root-ca-file": plane.authority_file,
            "service-account-private-key-file": plane.token_keys.private,
        }
        self._programs.append(plane.run("kube-scheduler", scheduler))
        self._programs.append(plane.run("kube-controller-manager", controllers))
        return self._programs[-1]

    def _start_name_server(self) -> None:
        addresses, file = self._machine.addresses, self._folder / "Corefile"
        file.write_text(settings.name_server(addresses, self.kubeconfig), encoding="utf-8")
        command = [*self._machine.on_network(), str(self._name_server.program), "-conf", str(file)]
        self._programs.append(Program("coredns", command, self._folder))
        ready = f"http://{addresses.node}:{settings.READY_PORT}/ready"
        self._programs[-1].wait_until(lambda: answers(ready), READY_SECONDS)

    def _start_kubelet(self) -> Program:
        kubeconfig = self._account(f"system:node:{settings.NAME}", "system:nodes")
        (self._folder / "resolv.conf").touch()  # not this machine's
        addresses, authority = self._machine.addresses, self._plane.authority_file
        cgroup, has_names = self._machine.cgroup, self._name_server.exists
        document = settings.kubelet(self._folder, addresses, authority, cgroup, has_names=has_names)
        flags = {
            "config": self._write("kubelet.yaml", document),
            "kubeconfig": kubeconfig,
            "root-dir": self._folder / "kubelet",
            "cert-dir": self._folder / "kubelet/pki",
            "hostname-override": settings.NAME,
            "node-ip": addresses.node,
            "v": 2,
        }
        arguments = [f"--{name}={value}" for name, value in flags.items()]
        command = self._machine.inside(str(self._built.program), "kubelet", *arguments)
        self._programs.append(Program("kubelet", command, self._folder))
        return self._programs[-1]

    def _start_kube_proxy(self) -> None:
        document = settings.kube_proxy(self._machine.addresses, self._account("system:kube-proxy"))
        flags = {"config": self._write("kube-proxy.yaml", document), "v": 2}
        self._programs.append(self._plane.run("kube-proxy", flags))

    def _account(self, user: str, *groups: str) -> Path:
        certificate = self._plane.user_certificate(user, groups)
        return self._plane.kubeconfig(f"{user}.kubeconfig", certificate=certificate)

    def _write(self, name: str, document: Mapping[str, object]) -> Path:
        path = self._folder / name
        path.write_text(yaml.safe_dump(dict(document)), encoding="utf-8")
        return path

    def _has_default_account(self) -> bool:
        return self._get("/api/v1/namespaces/default/serviceaccounts/default") is not None

    def _has_node(self) -> bool:
        node = self._get(f"/api/v1/nodes/{settings.NAME}")
        conditions = node["status"].get("conditions", []) if node else []
        return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)

    def _get(self, path: str) -> dict[str, dict[str, list[dict[str, str]]]] | None:
        context = self._plane.admin_context()
        try:
            url = self._plane.url + path
            with urlopen(url, timeout=ANSWER_SECONDS, context=context) as answer:
                found: dict[str, dict[str, list[dict[str, str]]]] = json.load(answer)
                return found
        except URLError:  # refused, reset, or not there yet
            return None
