from __future__ import annotations

import math
from dataclasses import dataclass, field

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from epp.core.endpoint import Endpoint, EndpointMetrics, Load
from epp.core.refusal import Reason
from epp.core.request import RequestFacts
from epp.explain.plain import CannotRecord, decode, decode_fields, encode, encode_fields
from tests.helpers.build import an_endpoint

A = an_endpoint("a")


def named(name: str) -> Endpoint:
    assert name == "default/a"
    return A


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False)
    | st.text()
    | st.frozensets(st.text(max_size=3))
    | st.just(A),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(alphabet="abc", min_size=1), inner, max_size=3)
        | st.dictionaries(st.just(A), inner, min_size=1)
    ),
    max_leaves=10,
)


@given(VALUES)
def test_values_survive_exactly(value: object) -> None:
    assert decode(orjson.loads(orjson.dumps(encode(value))), named) == value


def test_not_a_number_survives_too() -> None:
    assert math.isnan(decode(orjson.loads(orjson.dumps(encode(math.nan))), named))


def test_dataclasses_survive_by_their_template() -> None:
    metrics = EndpointMetrics(waiting=3, waiting_read_at=1.1, running_adapters=frozenset("ab"))
    plain = orjson.loads(orjson.dumps(encode(metrics)))
    assert decode_fields(EndpointMetrics(), plain, named) == metrics
    facts = RequestFacts("r", subset=frozenset(["10.0.0.1"]), cached_tokens={A: 7})
    plain = orjson.loads(orjson.dumps(encode_fields(facts, "facts")))
    again = decode_fields(RequestFacts(""), plain, named)
    assert (again.subset, again.deadline, again.cached_tokens) == (facts.subset, math.inf, {A: 7})


def test_records_of_other_versions_are_read_by_the_fields_that_both_have() -> None:
    load = decode_fields(Load(), {"requests": 3, "long_gone": 1}, named)
    assert (load.requests, load.foreign) == (3, 0.0)


@dataclass
class Odd:
    found: object = field(default_factory=object)


@pytest.mark.parametrize(
    ("value", "where"),
    [(object(), "v"), (b"prompt", "v"), ([1, {"a": Odd()}], "v[1].a.found"), ({1: 2}, "v")],
)
def test_what_is_no_value_is_refused_with_its_place(value: object, where: str) -> None:
    with pytest.raises(CannotRecord, match=f"^{where.replace('[', chr(92) + '[')}: "):
        encode(value, "v")


def test_words_of_a_closed_set_are_their_values() -> None:
    assert encode(Reason.SATURATED) == "rejected-saturated"
