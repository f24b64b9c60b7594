from __future__ import annotations

import math

from hypothesis import assume, given
from hypothesis import strategies as st

from epp.core.decision import DecisionRecord, record_of
from epp.explain.explanation import counted, explanation, stepped
from tests.helpers.build import a_request, an_endpoint

SCORES = st.sampled_from([0.0, 0.1, 0.25, 1 / 3, 0.5, 0.9, 1.0, 1.5, -1.0, math.nan])
WEIGHTS = st.sampled_from([0.0, 0.5, 1.0, 2.0, 3.0])


def total(record: DecisionRecord, n: int, weights: dict[str, float]) -> float:
    return sum(weights[name] * counted(scores[n]) for name, scores in record.scores.items())


def a_record(columns: dict[str, list[float]], weights: dict[str, float]) -> DecisionRecord:
    """With the best total picked."""
    size = len(next(iter(columns.values())))
    record = record_of(a_request(model="m"), 0.0)
    record.candidates = [an_endpoint(f"e{n}", address=f"10.0.0.{n + 1}") for n in range(size)]
    record.scores, record.weights = columns, weights
    record.totals = [total(record, n, weights) for n in range(size)]
    best = max(range(size), key=lambda n: record.totals[n])
    record.picked = (record.candidates[best],)
    return record


@st.composite
def records(draw: st.DrawFn) -> DecisionRecord:
    size = draw(st.integers(2, 4))
    names = ["a", "b", "c"][: draw(st.integers(1, 3))]
    columns = {n: draw(st.lists(SCORES, min_size=size, max_size=size)) for n in names}
    return a_record(columns, {name: draw(WEIGHTS) for name in names})


@given(records(), st.sampled_from(["a", "b", "c"]), st.sampled_from(["lower", "higher"]))
def test_just_beyond_the_weight_that_is_told_another_would_have_won(
    record: DecisionRecord, name: str, word: str
) -> None:
    shown = explanation(record)
    assume(name in record.scores and not shown["tie"])
    level = shown["weights"][name][word]
    first = record.candidates.index(record.picked[0])
    others = [n for n in range(len(record.candidates)) if n != first]

    def best_other(weight: float) -> float:
        weights = {**record.weights, name: weight}
        return max(total(record, n, weights) for n in others) - total(record, first, weights)

    if level is not None:
        beyond = level["weight"] + (-1e-6 if word == "lower" else 1e-6)
        within = (level["weight"] + record.weights[name]) / 2
        assert best_other(beyond) > 0.0 or beyond < 0.0
        assert best_other(within) < 1e-9
    else:  # then no weight on that side would have done
        extremes = [0.0, record.weights[name] / 2] if word == "lower" else [1e3, 1e6]
        assert all(best_other(weight) <= 1e-9 for weight in extremes)


@given(records())
def test_with_the_raw_value_that_is_told_a_runner_up_would_be_level(
    record: DecisionRecord,
) -> None:
    by_authority = {e.authority: n for n, e in enumerate(record.candidates)}
    first = record.candidates.index(record.picked[0])
    for runner_up in explanation(record)["runners_up"]:
        n = by_authority[runner_up["endpoint"]]
        for name, value in runner_up["raw"].items():
            changed = {k: list(v) for k, v in record.scores.items()}
            changed[name][n] = 1.0 if value is None else value
            other = a_record(changed, dict(record.weights))
            difference = other.totals[first] - other.totals[n]
            if value is None:
                assert difference > -1e-9
            else:
                assert math.isclose(difference, 0.0, abs_tol=1e-9)


def test_each_scorers_part_the_margin_and_the_tie() -> None:
    record = a_record({"q": [1.0, 0.5, 1.0], "p": [0.2, 0.9, 0.2]}, {"q": 2.0, "p": 1.0})
    shown = explanation(record)
    assert shown["tie"] == ["10.0.0.1:8000", "10.0.0.3:8000"]
    assert shown["margin"] == 0.0
    assert [c["endpoint"] for c in shown["candidates"]][-1] == "10.0.0.2:8000"
    assert shown["candidates"][0]["scores"]["q"] == {"raw": 1.0, "weight": 2.0, "weighted": 2.0}


def test_one_candidate_has_nothing_to_lose_to() -> None:
    shown = explanation(a_record({"q": [0.5]}, {"q": 1.0}))
    assert (shown["margin"], shown["runners_up"], shown["tie"]) == (None, [], [])


def test_steps_name_whom_they_removed() -> None:
    a, b, c = (an_endpoint(name, address=f"10.0.0.{n}") for n, name in enumerate("abc", 1))
    shown = stepped([("pool", (a, b, c)), ("f", [a, c]), ("room", [])])
    assert [(s["step"], s["left"]) for s in shown] == [("pool", 3), ("f", 2), ("room", 0)]
    assert [[r["name"] for r in s["removed"]] for s in shown] == [
        [],
        ["default/b"],
        ["default/a", "default/c"],
    ]
    assert stepped([]) == []
