"""A Lease of Kubernetes as values, and back to JSON. Pure."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

API_VERSION = "coordination.k8s.io/v1"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
# What the holder writes who gives it up: too short to wait for.
RELEASED_SECONDS = 1


class WrongLease(Exception):
    """The object cannot be read as a lease; the message names the field."""


@dataclass(frozen=True, slots=True)
class Lease:
    """Times are texts as in the object: they are compared and written, never believed."""

    holder: str = ""  # nobody's if empty
    duration_seconds: int = 15
    acquired: str = ""
    renewed: str = ""
    transitions: int = 0

    def taken_by(self, holder: str, duration_seconds: int, wall: datetime.datetime) -> Lease:
        """By another than before, that is one transition more."""
        now = micro_time(wall)
        return Lease(holder, duration_seconds, now, now, self.transitions + 1)

    def prolonged(self, duration_seconds: int, wall: datetime.datetime) -> Lease:
        return replace(self, duration_seconds=duration_seconds, renewed=micro_time(wall))

    def released(self, wall: datetime.datetime) -> Lease:
        now = micro_time(wall)
        return Lease("", RELEASED_SECONDS, now, now, self.transitions)


@dataclass(frozen=True, slots=True)
class StoredLease:
    """A lease with the object that it stands in; an empty one is to be created."""

    lease: Lease
    document: Mapping[str, Any] = field(default_factory=dict)


def micro_time(wall: datetime.datetime) -> str:
    """RFC 3339 in UTC with microseconds, as the API server takes it."""
    return wall.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def read_lease(document: Mapping[str, Any]) -> StoredLease:
    """Raises WrongLease."""
    spec = document.get("spec") or {}
    metadata = document.get("metadata")
    if not isinstance(metadata, Mapping) or not isinstance(metadata.get("resourceVersion"), str):
        raise WrongLease("metadata.resourceVersion: is missing")
    if not isinstance(spec, Mapping):
        raise WrongLease("spec: is not an object")
    return StoredLease(
        Lease(
            _text(spec, "holderIdentity"),
            # Without a duration it has run out, as for the holders that wrote nothing.
            _number(spec, "leaseDurationSeconds"),
            _text(spec, "acquireTime"),
            _text(spec, "renewTime"),
            _number(spec, "leaseTransitions"),
        ),
        document,
    )


def lease_document(stored: StoredLease, name: str, namespace: str) -> dict[str, Any]:
    """To be created, or to replace the version that was read: what others put in stays."""
    lease, document = stored.lease, stored.document
    metadata = {**document.get("metadata", {}), "name": name, "namespace": namespace}
    spec = {
        **(document.get("spec") or {}),
        "holderIdentity": lease.holder,
        "leaseDurationSeconds": lease.duration_seconds,
        "acquireTime": lease.acquired,
        "renewTime": lease.renewed,
        "leaseTransitions": lease.transitions,
    }
    return {"apiVersion": API_VERSION, "kind": "Lease", "metadata": metadata, "spec": spec}


def _text(spec: Mapping[str, Any], name: str) -> str:
    value = spec.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise WrongLease(f"spec.{name}: is not a text")
    return value


def _number(spec: Mapping[str, Any], name: str) -> int:
    value = spec.get(name)
    if value is None:
        return 0
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise WrongLease(f"spec.{name}: is not a number from 0 on")
    return value
