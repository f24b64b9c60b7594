from __future__ import annotations

import os
import sys

import pytest

from epp.local.live.processors import Reading, Use, between, read

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def test_shares_of_the_time_between() -> None:
    cores = len(os.sched_getaffinity(0))
    before = Reading(10.0, 100.0, {"picker": 5.0})
    after = Reading(20.0, 100.0 + 5.0 * cores, {"picker": 7.5})
    use = between(before, after)
    assert use.machine == pytest.approx(0.5)
    assert use.processes == {"picker": pytest.approx(0.25)}


def test_what_is_saturated() -> None:
    use = Use(0.95, {"picker": 0.9, "envoy": 1.5})
    text = use.saturated(frozenset({"picker"}))
    assert text == "picker 0.90 of its one core, the machine 95 % of its cores"
    assert Use(0.5, {"picker": 0.3, "envoy": 1.5}).saturated(frozenset({"picker"})) == ""


def test_a_process_that_works_uses_time() -> None:
    mine = {"me": os.getpid()}
    before = read(mine)
    while (after := read(mine)).processes["me"] < before.processes["me"] + 0.05:
        pass
    assert after.machine > before.machine


def test_a_process_that_is_gone() -> None:
    with pytest.raises(OSError, match="No such file"):
        read({"nobody": 2**22 + 1})
