"""A machine of its own on this one, for one node: its network, processes and mounts.

The kernel takes all of it away when the first process in it ends, which dies with the session, even
one that is killed. What a session that is killed leaves here are empty folders and cgroups.
"""

from __future__ import annotations

import shlex
import subprocess
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.node.cgroups import Cgroup
from tests.cluster.program import Program

START_SECONDS = 15.0
STOP_SECONDS = 20.0
COMMAND_SECONDS = 15.0
NAMESPACES = ("--net", "--pid", "--mount")
UNSHARE = ("unshare", *NAMESPACES, "--fork", "--kill-child=SIGKILL", "--mount-proc")
# Where programs of a node write, beside the folder that they are given. They stay empty here.
PRIVATE_FOLDERS = ("/run/containerd", "/var/lib/cni", "/var/lib/kubelet", "/var/log/containers")
# kubelet writes these, and they are this whole machine's: it is given files in their place.
KUBELET_SETTINGS = (
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
)
LARGEST_NUMBER = 63


class NoMachine(Exception):
    """A command that makes or joins it failed; with what it said."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """Of the range that is reserved for tests of networks (RFC 2544), so they are nobody else's."""

    number: int  # 0 to 63: so many machines can be on this one

    @property
    def here(self) -> str:
        return f"198.18.{self.number}.1"

    @property
    def node(self) -> str:
        return f"198.18.{self.number}.2"

    @property
    def services(self) -> str:
        return f"198.18.{self.number + 64}.0/24"

    @property
    def pods(self) -> str:
        return f"198.18.{self.number + 128}.0/24"

    @property
    def link(self) -> str:
        """The name of this machine's end."""
        return f"epp-node-{self.number}"


class Machine:
    """What stands in `folder` is seen there as it is here. Needs root."""

    def __init__(self, folder: Path, pause: Path) -> None:
        self._folder = folder
        self._pause = pause
        self._holder: Program | None = None
        self._init = 0  # the first process, as this machine counts
        self._addresses: Addresses | None = None
        self._cgroup: Cgroup | None = None

    @property
    def addresses(self) -> Addresses:
        assert self._addresses is not None, "not started"
        return self._addresses

    @property
    def cgroup(self) -> str:
        """Of all Pods, as kubelet names one."""
        assert self._cgroup is not None, "not started"
        return self._cgroup.name

    def start(self) -> None:
        """Raises NoMachine or ProgramFailed; `stop` is due even then."""
        self._holder = Program("machine", [*UNSHARE, str(self._pause)], self._folder)
        self._holder.wait_until(self._has_begun, START_SECONDS)
        self._mount()
        self._addresses = self._join()
        self._cgroup = Cgroup(f"/{self.addresses.link}")
        self._cgroup.create()

    def stop(self) -> None:
        """Ends all that runs there."""
        if self._holder is None:
            return
        with ExitStack() as stops:  # each is tried, in reverse
            if self._cgroup is not None:
                stops.callback(self._cgroup.remove)
            stops.callback(_wait_until_gone, Path(f"/proc/{self._init}"))
            stops.callback(self._holder.kill)
            if self._addresses is not None:  # at once: the kernel does it some time later
                stops.callback(_attempt, ["ip", "link", "del", self.addresses.link])

    def inside(self, *command: str) -> list[str]:
        """Runs a command there, as a child of what this starts; it ends with the machine."""
        return ["nsenter", f"--target={self._init}", *NAMESPACES, "--", *command]

    def on_network(self) -> list[str]:
        """Before a command: it has this machine's files and process, and that one's network."""
        return ["nsenter", f"--net=/proc/{self._init}/ns/net", "--"]

    def _has_begun(self) -> bool:
        assert self._holder is not None
        pid = self._holder.pid
        with suppress(OSError, ValueError):
            [child] = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            if Path(f"/proc/{child}/comm").read_text().strip() == self._pause.name:
                self._init = int(child)
        return self._init > 0

    def _mount(self) -> None:
        lines = ["set -e", "mount --make-rshared /"]
        for private in PRIVATE_FOLDERS:
            lines += [f"mkdir -p {private}", f"mount -t tmpfs -o mode=755 tmpfs {private}"]
        settings = self._folder / "settings"
        settings.mkdir()
        for name in KUBELET_SETTINGS:
            real, ours = Path("/proc/sys") / name, settings / name.replace("/", ".")
            ours.write_text(real.read_text())
            lines.append(f"mount --bind {shlex.quote(str(ours))} {real}")
        _run(self.inside("sh", "-c", "\n".join(lines)))

    def _join(self) -> Addresses:
        """A link between the two, and routes from here; its name is how a number is taken."""
        for number in range(LARGEST_NUMBER + 1):
            addresses = Addresses(number)
            peer = f"type veth peer name eth0 netns {self._init}".split()
            try:
                _run(["ip", "link", "add", addresses.link, *peer])
                break
            except NoMachine as error:
                if "File exists" not in str(error):
                    raise
        else:
            raise NoMachine(f"{LARGEST_NUMBER + 1} links {addresses.link!r} and below are there")
        here, there = addresses.here, addresses.node
        for line in (
            f"ip addr add {here}/30 dev {addresses.link}",
            f"ip link set {addresses.link} up",
        ):
            _run(line.split())
        for line in (
            "ip link set lo up",
            f"ip addr add {there}/30 dev eth0",
            "ip link set eth0 up",
            # Nothing forwards it; kubelet and kube-proxy want one.
            f"ip route add default via {here}",
            "sysctl -qw net.ipv4.ip_forward=1",
        ):
            _run(self.inside(*line.split()))
        for net in (addresses.pods, addresses.services):
            _run(["ip", "route", "add", net, "via", there])
        return addresses


def _wait_until_gone(process: Path) -> None:
    deadline = time.monotonic() + STOP_SECONDS
    while process.exists() and time.monotonic() < deadline:
        time.sleep(0.05)  # noqa: TID251


def _attempt(command: Sequence[str]) -> None:
    with suppress(NoMachine):
        _run(command)


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False
    )
    if done.returncode:
        raise NoMachine(f"{shlex.join(command)}: {done.stderr.strip() or done.returncode}")
