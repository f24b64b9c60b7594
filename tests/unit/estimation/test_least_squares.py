from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epp.estimation.least_squares import NonNegativeLeastSquares

FEATURE = st.floats(0.0, 1e5)
ROWS = st.lists(
    st.tuples(FEATURE, FEATURE, FEATURE, st.floats(-10.0, 1e3)), min_size=1, max_size=30
)


def fitted(rows: list[tuple[tuple[float, ...], float]]) -> NonNegativeLeastSquares:
    fit = NonNegativeLeastSquares()
    for row, value in rows:
        fit.add(*row, *[0.0] * (3 - len(row)), value, 1.0)
    return fit


def test_exact_rows_give_the_law() -> None:
    rows = [((1.0, x), 0.01 + 3e-5 * x) for x in (10.0, 500.0, 2000.0, 8000.0)]
    assert fitted(rows).coefficients == pytest.approx([0.01, 3e-5, 0.0], rel=1e-3)


def test_noise_averages_out() -> None:
    rng = random.Random(1)
    rows = []
    for _ in range(2000):
        row = (rng.uniform(0, 9), rng.uniform(0, 9), rng.uniform(0, 9))
        value = 2.0 * row[0] + 0.5 * row[1] + 1.0 * row[2]
        rows.append((row, value * rng.uniform(0.8, 1.2)))
    assert fitted(rows).coefficients == pytest.approx([2.0, 0.5, 1.0], rel=0.05)


def test_what_would_be_negative_is_left_out_and_the_rest_fitted_anew() -> None:
    rows = [((1.0, x), 5.0 - 0.1 * x) for x in (0.0, 1.0, 2.0)]
    assert fitted(rows).coefficients == pytest.approx([4.9, 0.0, 0.0], rel=1e-3)


def test_features_that_never_differ_share_the_effect() -> None:
    found = fitted([((1.0, 1.0), 4.0)] * 5).coefficients
    assert sum(found) == pytest.approx(4.0, rel=1e-3)


def test_old_rows_are_forgotten() -> None:
    fit = fitted([((1.0,), 1.0)] * 3000)
    for _ in range(20_000):  # weights are scaled down once on this way
        fit.add(1.0, 0.0, 0.0, 2.0, 1.0)
    assert fit.coefficients == pytest.approx([2.0, 0.0, 0.0], rel=1e-4)
    assert fit.samples == pytest.approx(1000, rel=0.01)


def test_rows_of_less_error_count_more() -> None:
    fit = NonNegativeLeastSquares()
    fit.add(1.0, 0.0, 0.0, 1.0, 1.0)
    fit.add(1.0, 0.0, 0.0, 2.0, 10.0)
    assert fit.coefficients[0] == pytest.approx(2.0, abs=0.02)


def test_nothing_seen_is_nothing_known() -> None:
    assert NonNegativeLeastSquares().coefficients == [0.0, 0.0, 0.0]


@given(ROWS)
def test_never_negative_and_no_step_makes_it_better(rows: list[tuple[float, ...]]) -> None:
    fit = fitted([(row[:3], row[3]) for row in rows])
    found = fit.coefficients
    assert all(math.isfinite(value) and value >= 0.0 for value in found)

    def error(coefficients: list[float]) -> float:
        total = 0.0
        for *row, value in rows:
            guess = sum(c * x for c, x in zip(coefficients, row, strict=True))
            total += (guess - value) ** 2
        return total

    least = error(found)
    slack = 1e-3 * sum(row[3] ** 2 for row in rows) + 1e-6  # old rows count less, and the ridge
    for i in range(3):
        length = math.sqrt(sum(row[i] ** 2 for row in rows))
        if not length:
            continue
        for step in (0.1 / length, -0.1 / length):
            moved = list(found)
            moved[i] = max(0.0, moved[i] + step)
            assert error(moved) >= least - slack
