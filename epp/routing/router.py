"""Resolve a model name to one of its weighted targets, and an objective to its priority."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

import xxhash

from epp.routing.settings import RoutingSettings, Target

HASH_SPACE: Final = 1 << 64


@dataclass(frozen=True, slots=True)
class Split:
    """Targets with the upper ends of their shares of the hash space."""

    rewrite: str  # name of the rewrite, for the metric
    models: tuple[str, ...]
    ends: tuple[int, ...]  # ascending, the last is HASH_SPACE

    def pick(self, spread_key: str) -> str:
        """The same key always meets the same target, so a conversation stays on one."""
        point = xxhash.xxh64_intdigest(spread_key.encode())
        return self.models[bisect_right(self.ends, point)]


def split_of(rewrite: str, targets: Sequence[Target]) -> Split:
    """Where only some targets have a weight, the others get nothing, as in the Go picker."""
    weights = [target.weight or 0 for target in targets]
    if not any(weights):
        weights = [1] * len(targets)
    total = sum(weights)
    ends = tuple(HASH_SPACE * upto // total for upto in accumulate(weights))
    return Split(rewrite, tuple(target.model_rewrite for target in targets), ends)


class ModelRouter:
    """Exact rules beat the ones that match every model; among equals the first listed wins.

    So do objectives by model. A matching rule overrides the rewrite that a header asks for.
    """

    def __init__(
        self, settings: RoutingSettings, on_rewrite: Callable[[str, str, str], None]
    ) -> None:
        """`on_rewrite` is told the rewrite's name, the incoming model and the target."""
        self._on_rewrite = on_rewrite
        self.update(settings)

    def update(self, settings: RoutingSettings) -> None:
        """From the next request on these settings hold, and nothing of the ones before."""
        self._priorities = {o.name: o.priority for o in reversed(settings.objectives)}
        self._model_priorities = {m.model: m.priority for m in reversed(settings.model_priorities)}
        self._model_objectives: dict[str, str] = {}
        self._objective_of_others = ""
        for entry in settings.objectives_by_model:
            for model in entry.models:
                self._model_objectives.setdefault(model, entry.objective)
            if not entry.models and not self._objective_of_others:
                self._objective_of_others = entry.objective
        self._exact: dict[str, Split] = {}
        self._generic: Split | None = None
        for rewrite in settings.model_rewrites:
            for rule in rewrite.rules:
                split = split_of(rewrite.name, rule.targets)
                for model in rule.models:
                    self._exact.setdefault(model, split)
                if not rule.models and self._generic is None:
                    self._generic = split

    def objective_of(self, named: str, model: str) -> str:
        """What was named by someone whose word counts, else that of the model; empty if none."""
        return named or self._model_objectives.get(model, self._objective_of_others)

    def priority_of(self, objective: str, model: str) -> int:
        """That of the objective if it is known, else of the model; 0 if that is unknown too."""
        priority = self._priorities.get(objective)
        return self._model_priorities.get(model, 0) if priority is None else priority

    def target_of(self, model: str, requested: str, spread_key: str) -> str:
        split = self._exact.get(model, self._generic)
        if split is None:
            return requested or model
        target = split.pick(spread_key)
        self._on_rewrite(split.rewrite, model, target)
        return target
