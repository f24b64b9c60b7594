"""Builders of API objects: a test names only what it is about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tests.cluster.api import OBJECTIVE, POD, POOL, REWRITE, Kind, Object

LABELS = {"app": "model-server"}
# No such node: the Pod stays Terminating when deleted, until it is deleted with grace 0.
NODE = "no-such-node"


def a_pool(
    name: str = "pool",
    *,
    ports: Sequence[int] = (8000,),
    labels: Mapping[str, str] | None = None,
) -> Object:
    spec = {
        "selector": {"matchLabels": dict(labels or LABELS)},
        "targetPorts": [{"number": port} for port in ports],
        "endpointPickerRef": {"name": "epp", "port": {"number": 9002}},
    }
    return POOL.of(name, spec=spec)


def a_pod(
    name: str,
    *,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
) -> Object:
    metadata = {"labels": dict(labels or LABELS), "annotations": dict(annotations or {})}
    container = {"name": "model-server", "image": "localhost/model-server"}
    spec = {"nodeName": NODE, "terminationGracePeriodSeconds": 30, "containers": [container]}
    return POD.of(name, metadata=metadata, spec=spec)


def pod_status(address: str, *, ready: bool = True, phase: str = "Running") -> Object:
    """For the `status` subresource, as a kubelet writes it."""
    condition = {"type": "Ready", "status": "True" if ready else "False"}
    addresses = {"podIP": address, "podIPs": [{"ip": address}]} if address else {}
    return {"status": {"phase": phase, "conditions": [condition], **addresses}}


def an_objective(
    name: str, priority: int | None, *, pool: str = "pool", kind: Kind = OBJECTIVE
) -> Object:
    spec: Object = {"poolRef": {"name": pool}}
    if priority is not None:
        spec["priority"] = priority
    return kind.of(name, spec=spec)


def a_rewrite(
    name: str,
    model: str,
    targets: Mapping[str, int | None],
    *,
    pool: str = "pool",
    kind: Kind = REWRITE,
) -> Object:
    """`targets` are model names with their weights; an empty `model` matches every one."""
    return kind.of(name, spec={"poolRef": {"name": pool}, "rules": rewrite_rules(model, targets)})


def rewrite_rules(model: str, targets: Mapping[str, int | None]) -> list[Object]:
    rule: Object = {
        "targets": [
            {"modelRewrite": target} | ({} if weight is None else {"weight": weight})
            for target, weight in targets.items()
        ]
    }
    if model:
        rule["matches"] = [{"model": {"value": model}}]
    return [rule]
