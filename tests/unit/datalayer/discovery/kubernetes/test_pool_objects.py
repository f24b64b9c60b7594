from __future__ import annotations

import random
from typing import Any

import pytest

from epp.datalayer.discovery.kubernetes.answers import Failure, FailureKind, Page
from epp.datalayer.discovery.kubernetes.feed import Feed
from epp.datalayer.discovery.kubernetes.objects import (
    Objective,
    Pool,
    PoolRef,
    Rewrite,
    Rule,
    Target,
)
from epp.datalayer.discovery.kubernetes.pool_objects import PoolObjects
from epp.datalayer.discovery.kubernetes.settings import OLD_POOL_GROUP, POOL_GROUP, PoolReference
from epp.datalayer.discovery.kubernetes.view import ClusterRouting

MISSING = Failure(FailureKind.NOT_FOUND, "HTTP 404")
REF = PoolRef(POOL_GROUP, "pool")
POOL = Pool({"app": "m"}, (8000,), deleting=False)


class Objects:
    """Pool objects, and what each of their resources is told."""

    def __init__(self, group: str = POOL_GROUP) -> None:
        self.objects = PoolObjects(PoolReference("pool", group), "ns", random.Random(1))
        self._feeds: dict[str, Feed[Any]] = {f.resource.name: f for f, _ in self.objects.feeds()}

    def listed(self, resource: str, **values: object) -> None:
        found = {("ns", name): value for name, value in values.items()}
        self._feeds[resource].took_page(Page(found, {}, "1", "", 1))

    def missing(self, *resources: str) -> None:
        for name in resources:
            for _ in range(3):
                self._feeds[name].failed(MISSING, 0.0)


POOLS = f"inferencepools.{POOL_GROUP}"
NEW = "inferenceobjectives.llm-d.ai"
OLD = "inferenceobjectives.inference.networking.x-k8s.io"
REWRITES = "inferencemodelrewrites.llm-d.ai"
OLD_REWRITES = "inferencemodelrewrites.inference.networking.x-k8s.io"
MODELS = "inferencemodels.inference.networking.x-k8s.io"


def test_what_is_followed() -> None:
    objects = Objects()
    assert set(objects._feeds) == {POOLS, NEW, OLD, REWRITES, OLD_REWRITES, MODELS}
    pools = objects._feeds[POOLS].resource
    assert pools.path == f"/apis/{POOL_GROUP}/v1/namespaces/ns/inferencepools"
    assert pools.query() == {"fieldSelector": "metadata.name=pool"}
    assert [f.resource.name for f in objects._feeds.values() if f.resource.required] == [POOLS]
    former = Objects(OLD_POOL_GROUP)._feeds
    assert former[f"inferencepools.{OLD_POOL_GROUP}"].resource.version == "v1alpha2"


def test_the_answer_is_known_when_all_resources_have_one() -> None:
    objects = Objects()
    objects.listed(POOLS, pool=POOL)
    objects.missing(NEW, OLD, REWRITES, OLD_REWRITES)
    assert not objects.objects.answered
    objects._feeds[MODELS].failed(Failure(FailureKind.REFUSED, "HTTP 500"), 0.0)
    assert objects.objects.answered


@pytest.mark.parametrize(
    "values",
    [{}, {"other": POOL}, {"pool": Pool({"app": "m"}, (8000,), deleting=True)}],
    ids=["none", "another", "deleting"],
)
def test_without_the_pool_there_is_no_routing_either(values: dict[str, Pool]) -> None:
    objects = Objects()
    objects.listed(POOLS, **values)
    objects.listed(NEW, gold=Objective("gold", REF, 5))
    assert objects.objects.pool is None
    assert objects.objects.routing() == ClusterRouting()


def test_the_old_group_counts_only_where_the_current_is_missing() -> None:
    objects = Objects()
    objects.listed(POOLS, pool=POOL)
    objects.missing(NEW)
    objects.listed(OLD, gold=Objective("gold", REF, 1))
    assert objects.objects.routing().priorities == (("gold", 1),)
    assert objects.objects.ignored() == ()
    objects.listed(NEW, silver=Objective("silver", REF, 2))
    assert objects.objects.routing().priorities == (("silver", 2),)
    assert objects.objects.ignored() == (OLD,)
    objects.missing(NEW)
    assert objects.objects.routing().priorities == (("gold", 1),)


def test_rewrites_of_either_group() -> None:
    rules = (Rule((), (Target("x", None),)),)
    for resource in (REWRITES, OLD_REWRITES):
        objects = Objects()
        objects.listed(POOLS, pool=POOL)
        objects.listed(resource, r=Rewrite("r", REF, "2026", rules))
        assert objects.objects.routing().rewrites == (("r", rules),)
