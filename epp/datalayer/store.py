"""The live set of endpoints. Discovery replaces it whole; readers take a tuple and keep it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from epp.core.endpoint import Endpoint

EndpointId = tuple[str, str]  # namespace, name


@dataclass(frozen=True, slots=True)
class EndpointSpec:
    """An endpoint as discovery wants it."""

    name: str
    address: str  # IPv4 or IPv6 literal, without brackets
    port: int
    namespace: str = "default"
    labels: Mapping[str, str] = field(default_factory=dict)
    pod_name: str = ""  # empty where there is no pod

    @property
    def id(self) -> EndpointId:
        return (self.namespace, self.name)


@dataclass(frozen=True, slots=True)
class Change:
    """What one `apply` did. An endpoint that moved to another port is both removed and added."""

    added: tuple[Endpoint, ...] = ()
    removed: tuple[Endpoint, ...] = ()
    updated: tuple[Endpoint, ...] = ()  # other labels, same object

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.updated)


Subscriber = Callable[[Change], None]


class EndpointStore:
    """Keyed by namespace and name. The only writer of an endpoint's labels and who is left out."""

    def __init__(self) -> None:
        self.endpoints: tuple[Endpoint, ...] = ()  # in the order that discovery gave
        # Same order: the reachable ones that are not paused; if there are none, all reachable ones.
        self.candidates: tuple[Endpoint, ...] = ()
        self._subscribers: list[Subscriber] = []

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Called after each swap that changed something. Returns what ends the subscription."""
        self._subscribers.append(subscriber)
        return lambda: self._subscribers.remove(subscriber)

    def apply(self, wanted: Sequence[EndpointSpec]) -> Change:
        """Make the pool what discovery wants.

        An id that keeps its address and port keeps its object, so its metrics and load survive.
        Behind another address or port is another server: it starts afresh.
        """
        if len({spec.id for spec in wanted}) != len(wanted):
            raise ValueError("two endpoints have the same namespace and name")
        present = {(e.namespace, e.name): e for e in self.endpoints}
        endpoints: list[Endpoint] = []
        added: list[Endpoint] = []
        updated: list[Endpoint] = []
        for spec in wanted:
            endpoint = present.get(spec.id)
            if endpoint is None or (endpoint.address, endpoint.port) != (spec.address, spec.port):
                endpoint = _endpoint(spec)
                added.append(endpoint)
            else:
                del present[spec.id]
                if endpoint.labels != spec.labels:
                    endpoint.labels = dict(spec.labels)
                    updated.append(endpoint)
            endpoints.append(endpoint)
        self._swap(tuple(endpoints))
        change = Change(tuple(added), tuple(present.values()), tuple(updated))
        if change:
            for subscriber in tuple(self._subscribers):
                subscriber(change)
        return change

    def set_reachable(self, endpoint: Endpoint, reachable: bool) -> bool:
        """Whether that is news. Subscribers are not told: the pool is the same."""
        if endpoint.reachable is reachable:
            return False
        endpoint.reachable = reachable
        self._swap(self.endpoints)
        return True

    def set_paused(self, endpoint: Endpoint, paused: bool) -> None:
        """Subscribers are not told."""
        endpoint.paused = paused
        self._swap(self.endpoints)

    def _swap(self, endpoints: tuple[Endpoint, ...]) -> None:
        self.endpoints = endpoints
        reachable = tuple(e for e in endpoints if e.reachable)
        self.candidates = tuple(e for e in reachable if not e.paused) or reachable


def _endpoint(spec: EndpointSpec) -> Endpoint:
    return Endpoint(
        name=spec.name,
        address=spec.address,
        port=spec.port,
        namespace=spec.namespace,
        labels=dict(spec.labels),
        pod_name=spec.pod_name,
    )
