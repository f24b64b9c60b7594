from __future__ import annotations

from collections import Counter

import pytest

from epp.routing.router import ModelRouter
from epp.routing.settings import (
    ModelObjective,
    ModelPriority,
    ModelRewrite,
    Objective,
    RoutingSettings,
    Rule,
    Target,
)


def router(*rewrites: ModelRewrite, seen: list[tuple[str, str, str]] | None = None) -> ModelRouter:
    noted = seen if seen is not None else []
    objectives = (Objective("gold", 10), Objective("batch", -5))
    return ModelRouter(
        RoutingSettings(objectives, rewrites), lambda *decision: noted.append(decision)
    )


def rewrite(*targets: Target, models: tuple[str, ...] = ("chat",), name: str = "r") -> ModelRewrite:
    return ModelRewrite(name, (Rule(targets, models),))


@pytest.mark.parametrize(
    ("objective", "priority"), [("gold", 10), ("batch", -5), ("unknown", 0), ("", 0)]
)
def test_priority_of_an_objective(objective: str, priority: int) -> None:
    assert router().priority_of(objective, "") == priority


@pytest.mark.parametrize(
    ("model", "requested", "target"),
    [
        pytest.param("other", "", "other", id="no-rule"),
        pytest.param("other", "wanted", "wanted", id="header-asks"),
        pytest.param("chat", "wanted", "chat-v2", id="a-rule-overrides-the-header"),
        pytest.param("", "", "", id="no-model"),
    ],
)
def test_target(model: str, requested: str, target: str) -> None:
    assert router(rewrite(Target("chat-v2"))).target_of(model, requested, "key") == target


def test_an_exact_rule_beats_one_for_every_model() -> None:
    generic = rewrite(Target("any"), models=(), name="generic")
    routes = router(generic, rewrite(Target("exact")))
    assert routes.target_of("chat", "", "k") == "exact"
    assert routes.target_of("else", "", "k") == "any"


def test_the_first_listed_of_equals_wins() -> None:
    first, second = rewrite(Target("one"), name="1"), rewrite(Target("two"), name="2")
    assert router(first, second).target_of("chat", "", "k") == "one"


def test_a_conversation_stays_on_its_target() -> None:
    routes = router(rewrite(Target("a", 50), Target("b", 50)))
    assert len({routes.target_of("chat", "", "session-7") for _ in range(20)}) == 1


@pytest.mark.parametrize(
    ("targets", "shares"),
    [
        pytest.param((Target("a", 90), Target("b", 10)), {"a": 0.9, "b": 0.1}, id="weights"),
        pytest.param((Target("a"), Target("b")), {"a": 0.5, "b": 0.5}, id="no-weights"),
        pytest.param((Target("a", 3), Target("b")), {"a": 1.0, "b": 0.0}, id="partly-weighted"),
    ],
)
def test_weights_split_the_keys(targets: tuple[Target, ...], shares: dict[str, float]) -> None:
    routes = router(rewrite(*targets))
    drawn = Counter(routes.target_of("chat", "", f"key-{n}") for n in range(4000))
    for model, share in shares.items():
        assert drawn[model] / 4000 == pytest.approx(share, abs=0.03)


def test_a_decision_of_a_rule_is_told() -> None:
    seen: list[tuple[str, str, str]] = []
    router(rewrite(Target("a"), name="split"), seen=seen).target_of("chat", "", "k")
    assert seen == [("split", "chat", "a")]


def test_the_names_of_all_rules() -> None:
    rules = (Rule((Target("b"), Target("c")), ("a", "b")), Rule((Target("d"),)))
    settings = RoutingSettings((), (ModelRewrite("one", rules),))
    assert settings.model_names() == {"a", "b", "c", "d"}


def test_the_model_decides_where_no_known_objective_is_named() -> None:
    models = (ModelPriority("chat", 3), ModelPriority("chat", 9), ModelPriority("bulk", -1))
    routes = ModelRouter(
        RoutingSettings((Objective("gold", 10),), (), models), lambda *_decision: None
    )
    assert routes.priority_of("gold", "bulk") == 10
    assert routes.priority_of("unknown", "bulk") == -1
    assert routes.priority_of("", "chat") == 3
    assert routes.priority_of("", "other") == 0


def test_an_update_leaves_nothing_of_what_was_before() -> None:
    routes = router(rewrite(Target("a")), rewrite(Target("any"), models=()))
    routes.update(RoutingSettings((Objective("new", 1),), (rewrite(Target("b"), models=("x",)),)))
    assert routes.priority_of("gold", "") == 0
    assert routes.priority_of("new", "") == 1
    assert routes.target_of("chat", "", "k") == "chat"
    assert routes.target_of("x", "", "k") == "b"


def test_of_two_settings_the_first_counts() -> None:
    first = RoutingSettings((Objective("gold", 1),), (rewrite(Target("a")),))
    later = RoutingSettings(
        (Objective("gold", 2), Objective("blue", 3)),
        (rewrite(Target("b")), rewrite(Target("c"), models=("y",))),
        (ModelPriority("m", 4),),
    )
    routes = ModelRouter(first.followed_by(later), lambda *_decision: None)
    assert (routes.priority_of("gold", ""), routes.priority_of("blue", "")) == (1, 3)
    assert routes.priority_of("", "m") == 4
    assert routes.target_of("chat", "", "k") == "a"
    assert routes.target_of("y", "", "k") == "c"


ENTRIES = (
    ModelObjective("interactive"),
    ModelObjective("audit", ("auditor", "auditor-v2")),
    ModelObjective("late", ("auditor",)),
)


def by_model(*entries: ModelObjective) -> ModelRouter:
    return ModelRouter(RoutingSettings(objectives_by_model=entries), lambda *_decision: None)


@pytest.mark.parametrize(
    ("model", "objective"),
    [
        pytest.param("auditor", "audit", id="exact-and-first"),
        pytest.param("auditor-v2", "audit", id="another-of-the-entry"),
        pytest.param("chat", "interactive", id="every-other-model"),
        pytest.param("", "interactive", id="no-model"),
    ],
)
def test_objective_of_a_model(model: str, objective: str) -> None:
    assert by_model(*ENTRIES).objective_of("", model) == objective
    assert by_model(*ENTRIES).objective_of("named", model) == "named"


def test_without_a_generic_entry_other_models_have_none() -> None:
    routes = by_model(*ENTRIES[1:])
    models = ("auditor", "chat", "")
    assert [routes.objective_of("", model) for model in models] == ["audit", "", ""]
