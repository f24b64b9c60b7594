"""The pool as the cluster has it, followed for ever: what changes is published in whole.

In pool mode the InferencePool says which pods are followed, and objectives and rewrites that refer
to it are read; in selector mode there are only pods.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from epp.datalayer.discovery.kubernetes.answers import Key
from epp.datalayer.discovery.kubernetes.client import ApiServer
from epp.datalayer.discovery.kubernetes.feed import Feed
from epp.datalayer.discovery.kubernetes.follower import Follower
from epp.datalayer.discovery.kubernetes.label_selector import text_of
from epp.datalayer.discovery.kubernetes.objects import Pod, read_pod
from epp.datalayer.discovery.kubernetes.pool_objects import GROUP, PoolObjects
from epp.datalayer.discovery.kubernetes.reporter import Reporter
from epp.datalayer.discovery.kubernetes.resource import Resource
from epp.datalayer.discovery.kubernetes.settings import (
    EndpointSelector,
    KubernetesSettings,
    PoolReference,
)
from epp.datalayer.discovery.kubernetes.view import ClusterRouting, PodEndpoints
from epp.datalayer.store import Change, EndpointSpec

log = logging.getLogger(__name__)

# A rollout changes many objects within milliseconds: they are published together.
COALESCE_SECONDS: Final = 0.015
NAMES_IN_LOG: Final = 5


@dataclass(frozen=True, slots=True)
class Outlets:
    """Who is told. Called on the event loop, only for what is news."""

    endpoints: Callable[[tuple[EndpointSpec, ...]], Change]
    routing: Callable[[ClusterRouting], None]
    known: Callable[[bool], None]  # whether the pool and its pods are known


@dataclass(slots=True)
class _PodFollowing:
    selector: str
    feed: Feed[Pod]
    task: asyncio.Task[None]


class KubernetesDiscovery:
    """The last known state stays in force whatever becomes of the API server."""

    def __init__(
        self,
        settings: KubernetesSettings,
        outlets: Outlets,
        rng: random.Random,
    ) -> None:
        self._settings = settings
        self._outlets = outlets
        self._rng = rng
        self._api = ApiServer(settings.kubeconfig)
        self._reporter = Reporter()
        target = settings.target
        self._pool_objects = (
            PoolObjects(target, settings.namespace, rng)
            if isinstance(target, PoolReference)
            else None
        )
        self._pods: _PodFollowing | None = None  # in force
        self._next_pods: _PodFollowing | None = None  # of a new selector, until it is listed
        self._target_ports: tuple[int, ...] = ()
        self._endpoints = PodEndpoints()
        self._published: tuple[EndpointSpec, ...] = ()
        self._routing = ClusterRouting()
        self._ignored: set[str] = set()  # resources that the log has said this of
        self._known = False
        self._changed = asyncio.Event()

    async def load(self) -> None:
        """Reads the client's configuration. Raises ClusterConfigError.

        Waits for no answer: an API server that is away, or a pool that does not exist yet, is
        something to wait for while health says that the picker is not ready.
        """
        await self._api.open()

    async def run(self) -> None:
        """Follow until cancelled. To be called after `load`."""
        try:
            async with asyncio.TaskGroup() as group:
                if self._pool_objects is not None:
                    for feed, read in self._pool_objects.feeds():
                        group.create_task(self._follower(feed, read).run())
                self._follow_pods(group)
                while True:
                    await self._changed.wait()
                    await asyncio.sleep(COALESCE_SECONDS)
                    self._changed.clear()
                    self._follow_pods(group)
                    self._publish()
        finally:
            await self._api.close()

    def _follower(
        self, feed: Feed[Any], read: Callable[[Mapping[str, object]], Any]
    ) -> Follower[Any]:
        return Follower(feed, read, self._api, self._reporter, self._changed.set)

    def _follow_pods(self, group: asyncio.TaskGroup) -> None:
        """Another selector is listed beside the one in force, which it replaces when complete."""
        if self._next_pods is not None and self._next_pods.feed.listed:
            self._drop(self._pods)
            self._pods, self._next_pods = self._next_pods, None
        wanted = self._wanted_selector()
        if self._next_pods is not None and self._next_pods.selector != wanted:
            self._drop(self._next_pods)
            self._next_pods = None
        if self._pods is not None and wanted is None:
            self._drop(self._pods)
            self._pods = None
        if wanted is None or self._next_pods is not None:
            return
        if self._pods is None or self._pods.selector != wanted:
            self._next_pods = self._start_pods(wanted, group)

    def _wanted_selector(self) -> str | None:
        """None while there is no pool."""
        if isinstance(self._settings.target, EndpointSelector):
            return self._settings.target.selector
        pool = self._pool_objects.pool if self._pool_objects is not None else None
        return text_of(pool.selector) if pool is not None else None

    def _start_pods(self, selector: str, group: asyncio.TaskGroup) -> _PodFollowing:
        resource = Resource(
            "", "v1", "pods", "Pod", self._settings.namespace, selector, required=True
        )
        feed: Feed[Pod] = Feed(resource, self._rng)
        task = group.create_task(self._follower(feed, read_pod).run())
        return _PodFollowing(selector, feed, task)

    def _drop(self, following: _PodFollowing | None) -> None:
        if following is not None:
            following.task.cancel()
            self._reporter.forget(following.feed)

    def _publish(self) -> None:
        objects, pods = self._pool_objects, self._pods
        known = pods is not None and (self._known or objects is None or objects.answered)
        if self._next_pods is None:  # ports that came with a new selector wait for its pods
            self._target_ports = self._wanted_ports()
        if known or self._known:
            self._publish_endpoints({} if pods is None else pods.feed.objects)
        if objects is not None:
            self._publish_routing(objects)
        if known is not self._known:
            self._known = known
            log.info("the pool is known" if known else "the pool is gone", extra=self._name())
            self._outlets.known(known)

    def _publish_routing(self, objects: PoolObjects) -> None:
        for name in objects.ignored():
            if name not in self._ignored:
                self._ignored.add(name)
                log.warning("%s: ignored, since %s is installed too", name, GROUP)
        routing = objects.routing()
        if routing == self._routing:
            return
        self._routing = routing
        self._outlets.routing(routing)
        counts = {"objectives": len(routing.priorities), "rewrites": len(routing.rewrites)}
        log.info("routing changed", extra=counts)

    def _publish_endpoints(self, pods: Mapping[Key, Pod]) -> None:
        specs = self._endpoints.specs(pods, self._target_ports)
        if specs == self._published:
            return
        self._published = specs
        change = self._outlets.endpoints(specs)
        if change.added or change.removed:
            extra: dict[str, object] = {"endpoints": len(specs)}
            for word, endpoints in (("added", change.added), ("removed", change.removed)):
                extra[word] = len(endpoints)
                extra[f"{word}_names"] = [e.name for e in endpoints[:NAMES_IN_LOG]]
            log.info("the pool changed", extra=extra)
        for endpoint in (*change.added, *change.removed, *change.updated):
            log.debug("changed: %r", endpoint)

    def _wanted_ports(self) -> tuple[int, ...]:
        if isinstance(self._settings.target, EndpointSelector):
            return self._settings.target.target_ports
        pool = self._pool_objects.pool if self._pool_objects is not None else None
        return pool.target_ports if pool is not None else ()

    def _name(self) -> dict[str, object]:
        target = self._settings.target
        what = target.name if isinstance(target, PoolReference) else target.selector
        return {"pool": what, "namespace": self._settings.namespace}
