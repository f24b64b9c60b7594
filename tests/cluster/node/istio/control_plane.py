"""Istio's control plane as a process of this machine, for a cluster whose node reaches it.

What only Istio's own build of Envoy knows is switched off.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from tests.cluster.program import Program, answers
from tests.helpers.process import free_ports

SYSTEM = "istio-system"
START_SECONDS = 60.0
ENVIRONMENT = {
    "POD_NAMESPACE": SYSTEM,
    "POD_NAME": "istiod",
    "ENABLE_GATEWAY_API_INFERENCE_EXTENSION": "true",
    "PILOT_ENABLE_METADATA_EXCHANGE": "false",
    "PILOT_ENABLE_ALPN_FILTER": "false",
    # There is one of it; the next would wait for the lease of one that was killed.
    "ENABLE_LEADER_ELECTION": "false",
    "INJECTION_WEBHOOK_CONFIG_NAME": "",
    "VALIDATION_WEBHOOK_CONFIG_NAME": "",
}
MESH = {
    "defaultProviders": {"metrics": [], "accessLogging": [], "tracing": []},
    "trustDomain": "cluster.local",
    # Its certificates come from Istio's agent, which is not beside an upstream Envoy.
    "enableAutoMtls": False,
}


@contextmanager
def running_istiod(program: Path, kubeconfig: Path, folder: Path) -> Iterator[tuple[str, int]]:
    """Ready inside the block; where a proxy in a Pod finds its configuration."""
    server = yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))["clusters"][0]["cluster"]
    address = _address_towards(server["server"])
    xds_port, http_port, monitoring_port = free_ports(3)
    mesh = folder / "mesh.yaml"
    mesh.write_text(yaml.safe_dump(MESH), encoding="utf-8")
    istiod = Program(
        "istiod",
        [
            *("env", *(f"{name}={value}" for name, value in ENVIRONMENT.items())),
            *(str(program), "discovery", f"--kubeconfig={kubeconfig}"),
            *(f"--meshConfig={mesh}", "--networksConfig=/dev/null"),
            *(f"--grpcAddr={address}:{xds_port}", "--secureGRPCAddr=", "--httpsAddr="),
            f"--httpAddr=127.0.0.1:{http_port}",
            f"--monitoringAddr=127.0.0.1:{monitoring_port}",
        ],
        folder,
    )
    try:
        istiod.wait_until(lambda: answers(f"http://127.0.0.1:{http_port}/ready"), START_SECONDS)
        yield address, xds_port
    finally:
        istiod.kill()


def _address_towards(url: str) -> str:
    """Of this machine, as the node reaches it: that by which we reach the node."""
    target = urlsplit(url)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((target.hostname, target.port))  # sends nothing
        return str(probe.getsockname()[0])
