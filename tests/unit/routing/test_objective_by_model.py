from __future__ import annotations

import pytest

from epp.routing.objective_by_model import objective_by_model
from epp.routing.settings import ModelObjective

ENTRIES = (
    ModelObjective("interactive"),
    ModelObjective("audit", ("auditor", "auditor-v2")),
    ModelObjective("late", ("auditor",)),
)


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
    assert objective_by_model(ENTRIES)(model) == objective


def test_without_a_generic_entry_other_models_have_none() -> None:
    objective_of = objective_by_model(ENTRIES[1:])
    assert (objective_of("auditor"), objective_of("chat"), objective_of("")) == ("audit", "", "")
