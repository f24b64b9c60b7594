from __future__ import annotations

from epp.bodyrouting.basemodels import BaseModelTable, Entry, joined


def test_adapters_and_the_base_model_itself_lead_to_it() -> None:
    mapping, disputes = joined([("here", Entry("base", ("a", "b"))), ("there", Entry("other"))])
    assert mapping == {"base": "base", "a": "base", "b": "base", "other": "other"}
    assert disputes == []


def test_the_same_base_model_in_two_places_is_one() -> None:
    mapping, disputes = joined([("here", Entry("base", ("a",))), ("there", Entry("base", ("b",)))])
    assert mapping == {"base": "base", "a": "base", "b": "base"}
    assert disputes == []


def test_the_first_claim_counts_and_the_second_is_told() -> None:
    mapping, disputes = joined([("here", Entry("one", ("a",))), ("there", Entry("two", ("a",)))])
    assert mapping["a"] == "one"
    [text] = disputes
    assert text.startswith("there: 'a' is claimed by 'two'")
    assert "(here)" in text


def test_a_table_holds_what_every_source_said_last() -> None:
    table = BaseModelTable()
    assert table.current == {}
    table.publish("file", [("f", Entry("base", ("a",)))])
    assert table.publish("cluster", [("c", Entry("late", ("a", "b")))]) != []
    assert table.current == {"base": "base", "a": "base", "late": "late", "b": "late"}
    assert table.publish("file", []) == []
    assert table.current == {"late": "late", "a": "late", "b": "late"}
