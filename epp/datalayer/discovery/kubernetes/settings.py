"""Which pool is followed on Kubernetes, and how the API server is reached."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from epp.datalayer.discovery.kubernetes.label_selector import check_label_selector

POOL_GROUP: Final = "inference.networking.k8s.io"
OLD_POOL_GROUP: Final = "inference.networking.x-k8s.io"
POOL_VERSIONS: Final = {POOL_GROUP: "v1", OLD_POOL_GROUP: "v1alpha2"}
MAX_TARGET_PORTS: Final = 8

_DNS_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_DNS_SUBDOMAIN: Final = re.compile(r"[a-z0-9]([-.a-z0-9]*[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class PoolReference:
    """An InferencePool by name and API group."""

    name: str
    group: str = POOL_GROUP

    def __post_init__(self) -> None:
        if not _DNS_SUBDOMAIN.fullmatch(self.name) or len(self.name) > 253:
            raise ValueError(f"pool name: {self.name!r} is not a name of a Kubernetes object")
        if self.group not in POOL_VERSIONS:
            known = " and ".join(POOL_VERSIONS)
            raise ValueError(f"pool group: {self.group!r} is not known; there are {known}")

    @property
    def version(self) -> str:
        return POOL_VERSIONS[self.group]


@dataclass(frozen=True, slots=True)
class EndpointSelector:
    """Pods by labels, without an InferencePool."""

    selector: str  # label selector in its text form, as kubectl's -l takes it
    target_ports: tuple[int, ...]

    def __post_init__(self) -> None:
        """Raises ValueError; a port that is given twice counts once."""
        check_label_selector(self.selector)
        ports = tuple(dict.fromkeys(self.target_ports))
        if not 1 <= len(ports) <= MAX_TARGET_PORTS:
            raise ValueError(
                f"endpoint target ports: 1 to {MAX_TARGET_PORTS} are needed, not {len(ports)}"
            )
        for port in ports:
            if not 1 <= port <= 65535:
                raise ValueError(f"endpoint target ports: {port} is not in 1..65535")
        object.__setattr__(self, "target_ports", ports)


@dataclass(frozen=True, slots=True)
class KubernetesSettings:
    target: PoolReference | EndpointSelector
    namespace: str = "default"  # of the pool and of all that belongs to it
    kubeconfig: Path | None = None  # None: $KUBECONFIG, then the service account, then ~/.kube

    def __post_init__(self) -> None:
        if not _DNS_LABEL.fullmatch(self.namespace) or len(self.namespace) > 63:
            raise ValueError(f"pool namespace: {self.namespace!r} is not a name of a namespace")


def deployment_of(pod_name: str) -> str:
    """The Deployment whose pod has this name, `<deployment>-<hash>-<suffix>`; else ValueError."""
    deployment, *ends = pod_name.rsplit("-", 2)
    if len(ends) != 2 or not deployment or not all(end.isalnum() for end in ends):
        raise ValueError(
            f"POD_NAME: {pod_name!r} is not the name of a pod of a Deployment, "
            "<deployment>-<hash>-<suffix>"
        )
    return deployment
