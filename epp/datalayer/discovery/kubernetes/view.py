"""What the picker is told of the known objects: endpoints, priorities, rewrites. All pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from epp.datalayer.discovery.kubernetes.answers import Key
from epp.datalayer.discovery.kubernetes.objects import (
    MODEL_POOL_GROUP,
    LegacyModel,
    Objective,
    Pod,
    PoolRef,
    Rewrite,
    Rule,
    Target,
)
from epp.datalayer.store import EndpointSpec

# The Go picker shed only `Sheddable` requests; now it sheds what is below zero.
CRITICALITIES: Final[Mapping[str, int]] = {"Critical": 1, "Standard": 0, "": 0, "Sheddable": -1}


@dataclass(frozen=True, slots=True)
class ClusterRouting:
    """What objectives and rewrites of the pool say. Of rules that match alike the first counts."""

    priorities: tuple[tuple[str, int], ...] = ()  # name of the objective, priority
    model_priorities: tuple[tuple[str, int], ...] = ()  # where a request names no objective
    rewrites: tuple[tuple[str, tuple[Rule, ...]], ...] = ()  # name, rules


@dataclass(slots=True)
class PodEndpoints:
    """Pods to endpoint specs. Remembers them, so that one pod of a thousand costs one."""

    _target_ports: tuple[int, ...] = ()
    _known: dict[Key, tuple[Pod, tuple[EndpointSpec, ...]]] = field(default_factory=dict)

    def specs(
        self, pods: Mapping[Key, Pod], target_ports: tuple[int, ...]
    ) -> tuple[EndpointSpec, ...]:
        """Of all pods that serve, ordered by name and rank."""
        before = self._known if target_ports == self._target_ports else {}
        self._target_ports, self._known = target_ports, {}
        found: list[EndpointSpec] = []
        for key in sorted(pods):
            pod = pods[key]
            kept = before.get(key)
            if kept is None or kept[0] is not pod:
                kept = pod, specs_of(pod, target_ports)
            self._known[key] = kept
            found += kept[1]
        return tuple(found)


def specs_of(pod: Pod, target_ports: tuple[int, ...]) -> tuple[EndpointSpec, ...]:
    """One endpoint for each target port that is active; the rank is the index of the port."""
    if not pod.serves or not pod.address:
        return ()
    return tuple(
        EndpointSpec(f"{pod.name}-rank-{rank}", pod.address, port, pod.namespace, pod.labels)
        for rank, port in enumerate(target_ports)
        if pod.active_ports is None or port in pod.active_ports
    )


def routing_of(
    pool: PoolRef,
    objectives: Iterable[Objective],
    rewrites: Iterable[Rewrite],
    models: Iterable[LegacyModel],
) -> ClusterRouting:
    """Of the objects that refer to the pool, by name and group; the oldest rewrite first."""
    mine = [model for model in models if _is_of(model, pool)]
    mine.sort(key=lambda model: (model.created, model.name))
    current = sorted(
        (rewrite for rewrite in rewrites if rewrite.pool == pool),
        key=lambda rewrite: (rewrite.created, rewrite.name),
    )
    return ClusterRouting(
        priorities=tuple(sorted((o.name, o.priority) for o in objectives if o.pool == pool)),
        model_priorities=tuple((m.model, CRITICALITIES[m.criticality]) for m in mine),
        rewrites=(
            *((rewrite.name, rewrite.rules) for rewrite in current),
            *((model.name, (_rule_of(model),)) for model in mine),
        ),
    )


def _is_of(model: LegacyModel, pool: PoolRef) -> bool:
    """An InferenceModel is older than the pool's present group and mostly names the former one."""
    return model.pool.name == pool.name and model.pool.group in (pool.group, MODEL_POOL_GROUP)


def _rule_of(model: LegacyModel) -> Rule:
    return Rule((model.model,), model.targets or (Target(model.model, None),))
