from __future__ import annotations

import math

import pytest

from epp.simulation.laboratory.orders import Order, agreement, order_of


def test_noise_is_what_neither_arms_nor_repeats_explain() -> None:
    # The second repeat is harder for all, by the same: no noise.
    order = order_of({"a": [1.0, 2.0], "b": [3.0, 4.0], "c": [5.0, 6.0]}, least=0.0)
    assert order.means == {"a": 1.5, "b": 3.5, "c": 5.5}
    assert order.noise == pytest.approx(0.0)
    assert (order.compare("a", "b"), order.compare("c", "b")) == (-1, 1)


def test_noise_by_hand() -> None:
    # Residuals are +-0.5 in all four: squares 1, one degree of freedom, t 12.706.
    order = order_of({"a": [0.0, 2.0], "b": [1.0, 1.0]}, least=0.0)
    assert order.noise == pytest.approx(12.706 * math.sqrt(2 * 1.0 / 1 / 2))
    assert order.compare("a", "b") == 0


def test_a_difference_that_does_not_matter_is_none() -> None:
    order = order_of({"a": [1.0, 1.0], "b": [1.01, 1.01]}, least=0.02)
    assert order.compare("a", "b") == 0
    assert order.places(higher_is_better=True) == {"a": 1, "b": 1}


def test_places_share_what_is_within_noise() -> None:
    order = Order({"a": 10.0, "b": 10.5, "c": 3.0, "d": 8.8}, noise=1.5)
    assert order.places(higher_is_better=True) == {"a": 1, "b": 1, "c": 4, "d": 2}
    assert order.places(higher_is_better=False) == {"c": 1, "d": 2, "a": 2, "b": 3}


@pytest.mark.parametrize(
    "values",
    [{"a": [1.0, 2.0]}, {"a": [1.0], "b": [2.0]}, {"a": [1.0, 2.0], "b": [2.0]}],
    ids=["one arm", "one repeat", "repeats missing"],
)
def test_what_tells_no_noise_is_refused(values: dict[str, list[float]]) -> None:
    with pytest.raises(ValueError, match="noise takes two of each"):
        order_of(values, least=0.0)


def test_agreement_counts_pairs() -> None:
    live = Order({"a": 1.0, "b": 2.0, "c": 3.0, "d": 3.1}, noise=0.5)
    virtual = Order({"a": 2.0, "b": 1.0, "c": 5.0, "d": 4.0}, noise=0.5)
    found = agreement(live, virtual)
    assert found.opposed == (("a", "b"),)
    assert found.equal == 1  # c and d are the same in real time
    assert found.same == 4
    assert found.tau == pytest.approx((4 - 2) / 6)


def test_an_order_agrees_with_itself_and_not_with_its_reverse() -> None:
    order = Order({"a": 1.0, "b": 2.0, "c": 3.0}, noise=0.1)
    reverse = Order({arm: -mean for arm, mean in order.means.items()}, noise=0.1)
    assert agreement(order, order).tau == 1.0
    assert agreement(order, reverse).tau == -1.0
    assert len(agreement(order, reverse).opposed) == 3
