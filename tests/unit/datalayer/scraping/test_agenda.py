from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from epp.datalayer.scraping.agenda import Agenda


def test_the_earliest_come_first_and_no_more_than_the_limit() -> None:
    agenda: Agenda[str] = Agenda()
    for item, when in (("c", 3.0), ("a", 1.0), ("b", 2.0), ("later", 9.0)):
        agenda.put(item, when)
    assert agenda.take_due(5.0, 2) == ["a", "b"]
    assert agenda.take_due(5.0, 2) == ["c"]
    assert agenda.take_due(5.0, 2) == []
    assert agenda.next() == 9.0


def test_an_empty_agenda_is_never_due() -> None:
    assert Agenda[str]().next() == math.inf


STEPS = st.lists(
    st.tuples(st.sampled_from(["put", "drop", "take"]), st.integers(0, 5), st.integers(0, 20))
)


@given(STEPS)
def test_every_item_has_the_date_put_last(steps: list[tuple[str, int, int]]) -> None:
    agenda: Agenda[int] = Agenda()
    dates: dict[int, int] = {}
    for kind, item, when in steps:
        if kind == "put":
            agenda.put(item, when)
            dates[item] = when
        elif kind == "drop":
            agenda.drop(item)
            dates.pop(item, None)
        else:
            taken = [dates.pop(other) for other in agenda.take_due(when, 100)]
            assert taken == sorted(taken)
            assert all(date <= when for date in taken)
            assert all(date > when for date in dates.values())
        assert len(agenda) == len(dates)
        assert agenda.next() == min(dates.values(), default=math.inf)
