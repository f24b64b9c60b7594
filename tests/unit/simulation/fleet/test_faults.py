from __future__ import annotations

import pytest

from epp.simulation.fleet.faults import Fault, late_servers, parse_fault


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("slow:0@30=5", Fault(30.0, "slow", 0, 5.0)),
        ("crash:12@1.5=20", Fault(1.5, "crash", 12, 20.0)),
        ("cold:3@7", Fault(7.0, "cold", 3, 1.0)),
        ("remove:1", Fault(0.0, "remove", 1, 1.0)),
    ],
)
def test_a_fault_is_kind_server_time_and_value(text: str, fault: Fault) -> None:
    assert parse_fault(text) == fault


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("burn:0@30", "'burn' is none of slow, crash"),
        ("slow", "not of the form slow:0@30=5"),
        ("slow:x@3", "not of the form slow:0@30=5"),
        ("slow:0@3=fast", "not of the form slow:0@30=5"),
        ("slow:0@-1", "below 0"),
        ("slow:-1@1", "below 0"),
        ("slow:0@1=0", "a value of 0"),
    ],
)
def test_what_is_no_fault_is_refused_with_its_text(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as raised:
        parse_fault(text)
    assert repr(text) in str(raised.value)


def test_a_server_is_late_if_it_joins_before_it_ever_leaves() -> None:
    faults = (
        Fault(60.0, "add", 0),
        Fault(30.0, "remove", 0),
        Fault(10.0, "add", 1),
        Fault(50.0, "remove", 1),
        Fault(5.0, "slow", 2),
        Fault(20.0, "add", 2),
    )
    assert late_servers(faults) == {1, 2}
