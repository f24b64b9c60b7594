from __future__ import annotations

import pytest

from epp.config.build import read_configuration
from epp.simulation.fleet.servers import parse_fleet
from epp.simulation.laboratory.candidates import DEFAULT, candidates, prefill_rate
from epp.simulation.policies.catalogue import DISAGGREGATED, POLICIES
from epp.simulation.profiles import PROFILES

FOUND = candidates(parse_fleet("32b-h100-tp2+8b-h100:prefill+8b-h100:encode"))


@pytest.mark.parametrize("name", FOUND)
def test_every_candidate_is_a_document_that_can_be_read(name: str) -> None:
    """Those of others let nobody wait in the picker, ours do."""
    configuration = read_configuration(FOUND[name] or None)
    theirs = name in POLICIES or name == "sticky-fitted"
    assert (configuration.flow_control is None) is theirs


def test_there_is_the_default_and_what_others_ship() -> None:
    assert FOUND[DEFAULT] == ""
    assert set(POLICIES) < set(FOUND)
    assert len(set(FOUND.values())) == len(FOUND)


def test_without_roles_nobody_is_disaggregated() -> None:
    found = candidates(parse_fleet("32b-h100-tp2+8b-h100"))
    apart = {name for names in DISAGGREGATED.values() for name in names}
    assert set(FOUND) - set(found) == apart


@pytest.mark.parametrize("role", DISAGGREGATED)
def test_a_stage_has_servers_of_its_own_only_where_there_are_some(role: str) -> None:
    found = candidates(parse_fleet(f"8b-h100:{role}+8b-h100:decode"))
    assert set(FOUND) - set(found) == {
        name for other, names in DISAGGREGATED.items() if other != role for name in names
    }


def test_sticky_is_fitted_to_the_slowest_server() -> None:
    slow, fast = (prefill_rate(PROFILES[name]) for name in ("32b-h100-tp2", "8b-h100"))
    assert slow < fast
    assert f"peakPrefillThroughput: {slow:.0f}\n" in FOUND["sticky-fitted"]
    assert "maxTTFTPenaltyMs: 2000\n" in FOUND["sticky-fitted"]


def test_the_prefill_rate_is_about_the_one_that_was_measured() -> None:
    assert prefill_rate(PROFILES["32b-h100-tp2"]) == pytest.approx(15_928, rel=0.2)
