"""An InferencePool and the objects that refer to it: which resources, and what they come to."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeVar

from epp.datalayer.discovery.kubernetes.answers import Key, Reader
from epp.datalayer.discovery.kubernetes.feed import Feed
from epp.datalayer.discovery.kubernetes.objects import (
    LegacyModel,
    Objective,
    Pool,
    PoolRef,
    Rewrite,
    read_legacy_model,
    read_objective,
    read_pool,
    read_rewrite,
)
from epp.datalayer.discovery.kubernetes.resource import Resource
from epp.datalayer.discovery.kubernetes.settings import PoolReference
from epp.datalayer.discovery.kubernetes.view import ClusterRouting, routing_of

T = TypeVar("T")

GROUP: Final = "llm-d.ai"
OLD_GROUP: Final = "inference.networking.x-k8s.io"
VERSION: Final = "v1alpha2"


class PoolObjects:
    """One feed a resource. Of two API groups with the same kind, the current one counts."""

    def __init__(self, reference: PoolReference, namespace: str, rng: random.Random) -> None:
        self._reference = reference
        self._key = (namespace, reference.name)
        self._pools: Feed[Pool] = Feed(
            Resource(
                reference.group,
                reference.version,
                "inferencepools",
                "InferencePool",
                namespace,
                field_selector=f"metadata.name={reference.name}",
                required=True,
            ),
            rng,
        )

        def feed(group: str, kind: str) -> Feed[Any]:
            plural = f"{kind.lower()}s"
            return Feed(Resource(group, VERSION, plural, kind, namespace), rng)

        self._objectives: Feed[Objective] = feed(GROUP, "InferenceObjective")
        self._old_objectives: Feed[Objective] = feed(OLD_GROUP, "InferenceObjective")
        self._rewrites: Feed[Rewrite] = feed(GROUP, "InferenceModelRewrite")
        self._old_rewrites: Feed[Rewrite] = feed(OLD_GROUP, "InferenceModelRewrite")
        self._models: Feed[LegacyModel] = feed(OLD_GROUP, "InferenceModel")

    def feeds(self) -> Iterator[tuple[Feed[Any], Reader[Any]]]:
        """Each with what reads its objects."""
        yield self._pools, read_pool
        yield self._objectives, read_objective
        yield self._old_objectives, read_objective
        yield self._rewrites, read_rewrite
        yield self._old_rewrites, read_rewrite
        yield self._models, read_legacy_model

    @property
    def pool(self) -> Pool | None:
        """None if it does not exist or is being deleted."""
        pool = self._pools.objects.get(self._key)
        return None if pool is None or pool.deleting else pool

    @property
    def answered(self) -> bool:
        """Whether it is known of every resource how matters stand."""
        return all(feed.answered for feed, _ in self.feeds())

    def ignored(self) -> tuple[str, ...]:
        """Resources of the old group whose objects do not count beside those of the current."""
        pairs: tuple[tuple[Feed[Any], Feed[Any]], ...] = (
            (self._objectives, self._old_objectives),
            (self._rewrites, self._old_rewrites),
        )
        return tuple(old.resource.name for current, old in pairs if current.listed and old.objects)

    def routing(self) -> ClusterRouting:
        """Nothing while there is no pool."""
        if self.pool is None:
            return ClusterRouting()
        return routing_of(
            PoolRef(self._reference.group, self._reference.name),
            preferred(self._objectives, self._old_objectives).values(),
            preferred(self._rewrites, self._old_rewrites).values(),
            self._models.objects.values(),
        )


def preferred(current: Feed[T], old: Feed[T]) -> Mapping[Key, T]:
    """Of two API groups with the same kind: the old one counts only where it is alone."""
    return old.objects if old.listed and not current.listed else current.objects
