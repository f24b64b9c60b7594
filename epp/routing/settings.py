"""Objectives and model rewrites, from the config document and from the cluster."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Objective:
    """A named priority. Higher is more important; below zero may be shed first."""

    name: str
    priority: int = 0


@dataclass(frozen=True, slots=True)
class Target:
    model_rewrite: str
    weight: int | None = None  # 1 to 1 000 000; None on all targets is an equal split


@dataclass(frozen=True, slots=True)
class Rule:
    targets: tuple[Target, ...]
    models: tuple[str, ...] = ()  # exact names; empty matches every model


@dataclass(frozen=True, slots=True)
class ModelRewrite:
    name: str
    rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class ModelPriority:
    """The priority of requests for a model that name no known objective."""

    model: str
    priority: int = 0


@dataclass(frozen=True, slots=True)
class ModelObjective:
    """The objective of requests for these models that name none, or whose word does not count."""

    objective: str
    models: tuple[str, ...] = ()  # exact names as the client sent them; empty is every model


@dataclass(frozen=True, slots=True)
class RoutingSettings:
    objectives: tuple[Objective, ...] = ()
    model_rewrites: tuple[ModelRewrite, ...] = ()  # the first that matches wins
    model_priorities: tuple[ModelPriority, ...] = ()  # the first of a model counts
    objectives_by_model: tuple[ModelObjective, ...] = ()  # an exact model beats the generic entry

    def model_names(self) -> set[str]:
        """Every model that a rewrite names, as what is asked for or as a target."""
        rules = [rule for rewrite in self.model_rewrites for rule in rewrite.rules]
        targets = {target.model_rewrite for rule in rules for target in rule.targets}
        return targets.union(*(rule.models for rule in rules))

    def followed_by(self, later: RoutingSettings) -> RoutingSettings:
        """Both; where they say something of the same name, this one counts."""
        return RoutingSettings(
            (*self.objectives, *later.objectives),
            (*self.model_rewrites, *later.model_rewrites),
            (*self.model_priorities, *later.model_priorities),
            (*self.objectives_by_model, *later.objectives_by_model),
        )
