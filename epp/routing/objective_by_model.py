"""The objective that a request has by its model, where nobody whose word counts named one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from epp.routing.settings import ModelObjective


def objective_by_model(entries: Sequence[ModelObjective]) -> Callable[[str], str]:
    """From a model name to an objective. Among equals the first listed wins; empty if none fits."""
    exact: dict[str, str] = {}
    generic = ""
    for entry in entries:
        for model in entry.models:
            exact.setdefault(model, entry.objective)
        if not entry.models and not generic:
            generic = entry.objective

    def objective_of(model: str) -> str:
        return exact.get(model, generic)

    return objective_of
