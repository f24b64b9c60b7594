"""From the flags of the pool to the settings of discovery on Kubernetes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from epp.datalayer.discovery.kubernetes.settings import (
    EndpointSelector,
    KubernetesSettings,
    PoolReference,
    deployment_of,
)

DEFAULT_POOL = "epp"  # in metrics, where endpoints are not found on Kubernetes


def kubernetes_settings(flags: Mapping[str, Any]) -> KubernetesSettings | None:
    """None if no flag asks for Kubernetes. Raises click.UsageError."""
    name, selector = flags["pool_name"], flags["endpoint_selector"]
    if name and selector:
        raise click.UsageError("--pool-name and --endpoint-selector cannot both be given")
    if flags["endpoint_target_ports"] and not selector:
        raise click.UsageError("--endpoint-target-ports is only for --endpoint-selector")
    if not name and not selector:
        return None
    kubeconfig = Path(flags["kubeconfig"]).expanduser() if flags["kubeconfig"] else None
    try:
        target: PoolReference | EndpointSelector
        if name:
            target = PoolReference(name, flags["pool_group"])
        else:
            target = EndpointSelector(selector, _ports(flags["endpoint_target_ports"]))
        return KubernetesSettings(target, pool_namespace(flags), kubeconfig)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def metrics_pool_name(flags: Mapping[str, Any], *, own_discovery: bool) -> str:
    """Of the pool; with a selector, of the Deployment that this picker is a pod of.

    With a discovery of the document's own the selector selects nothing, and no pod is asked for.
    """
    if own_discovery or not flags["endpoint_selector"]:
        return str(flags["pool_name"]) or DEFAULT_POOL
    try:
        return deployment_of(os.environ.get("POD_NAME", ""))
    except ValueError as error:
        raise click.UsageError(f"--endpoint-selector: {error}") from None


def pool_namespace(flags: Mapping[str, Any]) -> str:
    return flags["pool_namespace"] or os.environ.get("NAMESPACE") or "default"


def _ports(groups: tuple[tuple[str, ...], ...]) -> tuple[int, ...]:
    words = [word for group in groups for word in group]
    for word in words:
        if not (word.isascii() and word.isdigit() and len(word) <= 5):
            raise ValueError(f"--endpoint-target-ports: {word!r} is not a port")
    return tuple(int(word) for word in words)
