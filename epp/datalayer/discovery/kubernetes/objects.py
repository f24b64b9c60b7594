"""Objects of the API as values: only the fields that the picker needs, read with tolerance.

Two versions of an object that differ in nothing the picker needs are equal, so that the many
updates which do not concern it end here.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from epp.datalayer.discovery.kubernetes.fields import (
    BadField,
    Json,
    as_mapping,
    integer_at,
    list_at,
    mapping_at,
    name_at,
    text_at,
    texts_at,
)
from epp.datalayer.discovery.kubernetes.settings import MAX_TARGET_PORTS, POOL_GROUP

ACTIVE_PORTS: Final = "llm-d.ai/active-ports"
OLD_ACTIVE_PORTS: Final = "inference.networking.k8s.io/active-ports"
MODEL_POOL_GROUP: Final = "inference.networking.x-k8s.io"  # an InferenceModel's default
HIGHEST_WEIGHT: Final = 1_000_000

_INT32: Final = (-(1 << 31), (1 << 31) - 1)
_PORT: Final = re.compile(r"[0-9]{1,5}")


@dataclass(frozen=True, slots=True)
class Pool:
    selector: Mapping[str, str]
    target_ports: tuple[int, ...]  # in the order of the object: the index is the rank
    app_protocol: str
    deleting: bool


@dataclass(frozen=True, slots=True)
class Pod:
    namespace: str
    name: str
    address: str  # IPv4 or IPv6 literal; empty until there is one
    labels: Mapping[str, str]
    active_ports: frozenset[int] | None  # None: all
    serves: bool  # Ready, not finished and not being deleted


@dataclass(frozen=True, slots=True)
class PoolRef:
    group: str
    name: str


@dataclass(frozen=True, slots=True)
class Objective:
    name: str
    pool: PoolRef
    priority: int


@dataclass(frozen=True, slots=True)
class Target:
    model: str
    weight: int | None


@dataclass(frozen=True, slots=True)
class Rule:
    models: tuple[str, ...]  # exact names; empty matches every model
    targets: tuple[Target, ...]


@dataclass(frozen=True, slots=True)
class Rewrite:
    name: str
    pool: PoolRef
    created: str  # RFC 3339 in UTC with seconds, so that texts compare as times do
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class LegacyModel:
    """An InferenceModel, which objective and rewrite have replaced."""

    name: str
    pool: PoolRef
    created: str
    model: str
    criticality: str  # Critical, Standard, Sheddable; empty if it does not say
    targets: tuple[Target, ...]  # empty: the model itself


def read_pool(raw: Json) -> Pool:
    """Both versions: v1, and v1alpha2 with its flat selector and one port."""
    metadata, spec = mapping_at(raw, "metadata"), mapping_at(raw, "spec")
    if "matchLabels" in mapping_at(spec, "selector", "spec"):
        selector = texts_at(mapping_at(spec, "selector", "spec"), "matchLabels", "spec.selector")
    else:
        selector = texts_at(spec, "selector", "spec")
    if not selector:
        raise BadField("spec.selector: is empty, it would select every pod of the namespace")
    return Pool(
        selector=selector,
        target_ports=_target_ports(spec),
        app_protocol=text_at(spec, "appProtocol", "spec"),
        deleting=metadata.get("deletionTimestamp") is not None,
    )


def _target_ports(spec: Json) -> tuple[int, ...]:
    single = integer_at(spec, "targetPortNumber", "spec", 1, 65535)
    if single is not None:
        return (single,)
    found: list[int] = []
    for index, entry in enumerate(list_at(spec, "targetPorts", "spec")):
        path = f"spec.targetPorts[{index}]"
        number = integer_at(as_mapping(entry, path), "number", path, 1, 65535)
        if number is None:
            raise BadField(f"{path}.number: is missing")
        found.append(number)
    if not 1 <= len(found) <= MAX_TARGET_PORTS:
        raise BadField(f"spec.targetPorts: 1 to {MAX_TARGET_PORTS} are needed, not {len(found)}")
    if len(set(found)) != len(found):
        raise BadField("spec.targetPorts: a port is given twice")
    return tuple(found)


def read_pod(raw: Json) -> Pod:
    metadata, status = mapping_at(raw, "metadata"), mapping_at(raw, "status")
    address = text_at(status, "podIP", "status")
    if address:
        try:
            ipaddress.ip_address(address)
        except ValueError:
            raise BadField(f"status.podIP: {address!r:.80} is not an IP address") from None
    return Pod(
        namespace=text_at(metadata, "namespace", "metadata"),
        name=name_at(metadata, "name", "metadata"),
        address=address,
        labels=texts_at(metadata, "labels", "metadata"),
        active_ports=_active_ports(mapping_at(metadata, "annotations", "metadata")),
        serves=(
            metadata.get("deletionTimestamp") is None
            and status.get("phase") not in ("Failed", "Succeeded")
            and _is_ready(status)
        ),
    )


def _is_ready(status: Json) -> bool:
    for condition in list_at(status, "conditions", "status"):
        if isinstance(condition, dict) and condition.get("type") == "Ready":
            return condition.get("status") == "True"
    return False


def _active_ports(annotations: Json) -> frozenset[int] | None:
    """Entries that are no port are passed over, so that nothing but them means no port at all."""
    text = annotations.get(ACTIVE_PORTS, annotations.get(OLD_ACTIVE_PORTS))
    if not isinstance(text, str):
        return None
    words = (word.strip() for word in text.split(","))
    return frozenset(int(word) for word in words if _PORT.fullmatch(word))


def read_objective(raw: Json) -> Objective:
    spec = mapping_at(raw, "spec")
    lowest, highest = _INT32
    return Objective(
        name=name_at(mapping_at(raw, "metadata"), "name", "metadata"),
        pool=_pool_ref(spec, POOL_GROUP),
        priority=integer_at(spec, "priority", "spec", lowest, highest) or 0,
    )


def read_rewrite(raw: Json) -> Rewrite:
    metadata, spec = mapping_at(raw, "metadata"), mapping_at(raw, "spec")
    return Rewrite(
        name=name_at(metadata, "name", "metadata"),
        pool=_pool_ref(spec, POOL_GROUP),
        created=text_at(metadata, "creationTimestamp", "metadata"),
        rules=tuple(
            _rule(as_mapping(entry, f"spec.rules[{index}]"), f"spec.rules[{index}]")
            for index, entry in enumerate(list_at(spec, "rules", "spec"))
        ),
    )


def _rule(rule: Json, path: str) -> Rule:
    models: list[str] = []
    for index, entry in enumerate(list_at(rule, "matches", path)):
        where = f"{path}.matches[{index}]"
        model = mapping_at(as_mapping(entry, where), "model", where)
        kind = text_at(model, "type", f"{where}.model")
        if kind not in ("", "Exact"):
            raise BadField(f"{where}.model.type: {kind!r:.80} is not known; there is Exact")
        models.append(name_at(model, "value", f"{where}.model"))
    targets = _targets(rule, "targets", "modelRewrite", path)
    if not targets:
        raise BadField(f"{path}.targets: at least one is needed")
    return Rule(tuple(models), targets)


def _targets(parent: Json, key: str, name_key: str, path: str) -> tuple[Target, ...]:
    found: list[Target] = []
    for index, entry in enumerate(list_at(parent, key, path)):
        where = f"{path}.{key}[{index}]"
        target = as_mapping(entry, where)
        weight = integer_at(target, "weight", where, 0, HIGHEST_WEIGHT)
        found.append(Target(name_at(target, name_key, where), weight))
    return tuple(found)


def read_legacy_model(raw: Json) -> LegacyModel:
    metadata, spec = mapping_at(raw, "metadata"), mapping_at(raw, "spec")
    criticality = text_at(spec, "criticality", "spec")
    if criticality not in ("", "Critical", "Standard", "Sheddable"):
        raise BadField(f"spec.criticality: {criticality!r:.80} is not known")
    return LegacyModel(
        name=name_at(metadata, "name", "metadata"),
        pool=_pool_ref(spec, MODEL_POOL_GROUP),
        created=text_at(metadata, "creationTimestamp", "metadata"),
        model=name_at(spec, "modelName", "spec"),
        criticality=criticality,
        targets=_targets(spec, "targetModels", "name", "spec"),
    )


def _pool_ref(spec: Json, default_group: str) -> PoolRef:
    """The kind is not compared, as in the Go picker."""
    reference = mapping_at(spec, "poolRef", "spec")
    return PoolRef(
        group=text_at(reference, "group", "spec.poolRef") or default_group,
        name=name_at(reference, "name", "spec.poolRef"),
    )
