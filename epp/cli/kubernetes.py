"""The flags that say which pool is followed on Kubernetes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

DEFAULT_POOL = "epp"  # in metrics, where endpoints are not found on Kubernetes

OPTIONS = (
    click.Option(
        ["--pool-name"],
        default="",
        help="InferencePool to serve; with discovery in the configuration, its name in metrics.",
    ),
    click.Option(
        ["--pool-namespace"],
        default="",
        help="Namespace of the pool, its pods and objectives; else $NAMESPACE, else default.",
    ),
    click.Option(
        ["--pool-group"],
        default="inference.networking.k8s.io",
        show_default=True,
        help="API group of the InferencePool.",
    ),
    click.Option(
        ["--endpoint-selector"],
        default="",
        help="Serve the pods of this label selector, without an InferencePool.",
    ),
    click.Option(
        ["--endpoint-target-ports"],
        multiple=True,
        help="Ports of those pods, 1 to 8; a comma list, or the flag repeated.",
    ),
    click.Option(
        ["--kubeconfig"], default="", help="Else $KUBECONFIG, else the service account of the pod."
    ),
)


def kubernetes_settings(flags: Mapping[str, Any]) -> Any:
    """KubernetesSettings, or None if no flag asks for them. Raises click.UsageError."""
    from epp.datalayer.discovery.kubernetes.settings import (
        EndpointSelector,
        KubernetesSettings,
        PoolReference,
    )

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


def pool_namespace(flags: Mapping[str, Any]) -> str:
    return flags["pool_namespace"] or os.environ.get("NAMESPACE") or "default"


def metrics_pool_name(flags: Mapping[str, Any]) -> str:
    """Of the pool; with a selector, of the Deployment that this picker is a pod of."""
    from epp.datalayer.discovery.kubernetes.settings import deployment_of

    if not flags["endpoint_selector"]:
        return flags["pool_name"] or DEFAULT_POOL
    try:
        return deployment_of(os.environ.get("POD_NAME", ""))
    except ValueError as error:
        raise click.UsageError(f"--endpoint-selector: {error}") from None


def _ports(texts: tuple[str, ...]) -> tuple[int, ...]:
    words = [word.strip() for text in texts for word in text.split(",")]
    for word in words:
        if not (word.isascii() and word.isdigit()):
            raise ValueError(f"--endpoint-target-ports: {word!r} is not a port")
    return tuple(int(word) for word in words)
