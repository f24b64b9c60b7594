from __future__ import annotations

from random import Random

import pytest

from epp.simulation.fleet.servers import FleetSettings, Server, parse_fleet
from epp.simulation.profiles import PROFILES


@pytest.mark.parametrize(
    ("text", "profiles"),
    [
        ("8b-h100", ("8b-h100",)),
        ("3x8b-h100", ("8b-h100",) * 3),
        ("2x8b-h100 + 1x8b-a100", ("8b-h100", "8b-h100", "8b-a100")),
        ("2x70b-h100-tp4", ("70b-h100-tp4",) * 2),
    ],
)
def test_a_fleet_is_groups_of_profiles(text: str, profiles: tuple[str, ...]) -> None:
    fleet = parse_fleet(text)
    assert (fleet.profiles, fleet.roles) == (profiles, ("",) * len(profiles))


def test_a_group_can_have_a_role() -> None:
    fleet = parse_fleet("2x8b-h100:prefill+8b-a100:decode+8b-l4")
    assert fleet.profiles == ("8b-h100", "8b-h100", "8b-a100", "8b-l4")
    assert fleet.roles == ("prefill", "prefill", "decode", "")
    settings = FleetSettings(fleet.profiles, roles=fleet.roles)
    specs = [Server(n, name, settings, Random(1)).spec for n, name in enumerate(fleet.profiles)]
    labels = [spec.labels.get("llm-d.ai/role") for spec in specs]
    assert labels == ["prefill", "prefill", "decode", None]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("8xfast", "profile 'fast' is unknown; there are 8b-h100"),
        ("", "'' is not of the form"),
        ("8 8b-h100", "is not of the form"),
        ("0x8b-h100", "between 1 and 2000"),
        ("1999x8b-h100+2x8b-h100", "between 1 and 2000"),
        ("8b-h100:both", "role 'both' is not simulated; there are decode, prefill-decode"),
        ("8b-h100:", "is not of the form"),
    ],
)
def test_what_is_no_fleet_is_refused(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        parse_fleet(text)


def test_a_slow_server_takes_as_many_times_as_long_for_every_part_of_a_step() -> None:
    settings = FleetSettings(("8b-a100",))
    fast, slow = settings.engine("8b-a100").profile, settings.engine("8b-a100", 3.0).profile
    assert fast is PROFILES["8b-a100"]
    work = (3000, 20, 40_000.0, 1e7)
    assert slow.step_seconds(*work) == pytest.approx(3 * fast.step_seconds(*work))


def test_the_cache_of_a_server_is_that_of_its_hardware_or_as_given() -> None:
    assert FleetSettings(("8b-l4",)).engine("8b-l4").num_blocks == 33_000 // 16
    assert FleetSettings((), kv_cache_tokens=1600).engine("8b-l4").num_blocks == 100


def test_a_restart_keeps_the_speed_and_empties_the_rest() -> None:
    server = Server(3, "8b-h100", FleetSettings(("8b-h100",)), Random(1))
    server.slow_down(2.0)
    before = server.engine
    server.restart(Random(2))
    assert server.engine is not before
    assert server.engine.profile == before.profile
    server.slow_down(1.0)
    assert server.engine.profile == PROFILES["8b-h100"]


def test_metrics_are_those_of_the_last_step_with_the_time_of_the_reading() -> None:
    server = Server(3, "8b-h100", FleetSettings(("8b-h100",), max_adapters=7), Random(1))
    metrics = server.metrics(12.5)
    assert (metrics.running, metrics.waiting, metrics.kv_cache_usage) == (0, 0, 0.0)
    assert (metrics.running_read_at, metrics.adapters_read_at) == (12.5, 12.5)
    assert (metrics.max_adapters, metrics.block_size_tokens) == (7, 16)
