"""The same requests in real time, behind a real Envoy, and in virtual time: what is clear is equal.

Only what does not hang on the speed of this machine is asserted; the whole study, with figures of
time, is `make live-study`.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from epp.config.errors import ConfigError
from epp.local.live.run import LiveRun, run_live
from epp.simulation.fleet.faults import Fault
from epp.simulation.laboratory.cell import Cell, simulate
from epp.simulation.policies.catalogue import policy
from scripts.live_report import FIGURES, LIVE, VIRTUAL, Key, Row, report, verdict

# Six servers, so that what one of them has cached is seldom where chance sends the next.
CELL = Cell("zipf", "6x8b-h100", 6.0, "", seconds=12.0, warm=False)
RANDOM = replace(CELL, policy=policy("random"))


async def live(cells: list[Cell], folder: Path) -> list[LiveRun]:
    """At the same time, each with processes of its own."""
    starting = asyncio.Lock()
    async with asyncio.TaskGroup() as group:
        tasks = []
        for n, cell in enumerate(cells):
            own = folder / str(n)
            own.mkdir()
            tasks.append(group.create_task(run_live(cell, own, starting)))
    return [task.result() for task in tasks]


async def test_affinity_finds_more_in_caches_than_chance_in_both(tmp_path: Path) -> None:
    ours, chance = await live([CELL, RANDOM], tmp_path)
    virtual, virtual_chance = simulate(CELL), simulate(RANDOM)
    for made, told in ((ours, virtual), (chance, virtual_chance)):
        assert made.outcome.requests == told.requests
        assert made.outcome.refused_share == 0.0
        assert made.outcome.served_share == 1.0
    assert virtual.hit_rate > 1.5 * virtual_chance.hit_rate
    assert ours.outcome.hit_rate > 1.5 * chance.outcome.hit_rate
    # All that comes again is found, whatever the timing: the first of each prompt is not.
    assert ours.outcome.hit_rate == pytest.approx(virtual.hit_rate, abs=0.1)
    assert {"picker", "envoy", "model-servers"} <= set(ours.use.processes)


async def test_conversations_go_on_from_what_the_servers_said(tmp_path: Path) -> None:
    """In light mode, where the picker sees neither tokens nor usage until the access log comes."""
    cell = replace(CELL, workload="chat", rate=3.0, seconds=8.0, sees_tokens=False)
    (made,) = await live([cell], tmp_path)
    assert made.outcome.requests > 5
    assert made.outcome.served_share == 1.0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"fleet": "2x8b-h100+2x8b-a100"}, "all of one profile"),
        ({"workload": "lora"}, "load no adapters"),
        ({"faults": (Fault(1.0, "slow", 0, 2.0),)}, "in virtual time only"),
    ],
)
async def test_what_live_servers_cannot_do_is_said(
    change: dict[str, object], said: str, tmp_path: Path
) -> None:
    cell = replace(CELL, **change)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=said):
        await run_live(cell, tmp_path, asyncio.Lock())


async def test_a_document_that_is_wrong_starts_nothing(tmp_path: Path) -> None:
    wrong = replace(CELL, policy="kind: EndpointPickerConfig\n")
    with pytest.raises(ConfigError, match="apiVersion: is missing"):
        await run_live(wrong, tmp_path, asyncio.Lock())


def rows(live: dict[str, float], virtual: dict[str, float], saturated: str = "") -> dict[Key, Row]:
    """Of two seeds that differ by nothing that is noise."""
    found: dict[Key, Row] = {}
    for where, values in ((LIVE, live), (VIRTUAL, virtual)):
        for name, value in values.items():
            for seed in (1, 2):
                row: Row = {"where": where, "policy": name, "seed": seed}
                row.update({figure.name: value + 0.01 * seed for figure in FIGURES})
                row.update(machine_cpu_share=0.5, cores={"picker": 0.1}, latest_seconds=0.002)
                found[where, name, seed] = row | {"saturated": saturated}
    return found


def test_orders_that_agree_have_no_complaint(capsys: pytest.CaptureFixture[str]) -> None:
    summary = report(rows({"a": 0.2, "b": 0.8}, {"a": 0.1, "b": 0.9}), ("a", "b"), (1, 2))
    assert verdict(summary) == ""
    assert summary["figures"]["hit_rate"]["same"] == 1
    assert "| b | 81.5 | 1 | 91.5 | 1 |" in capsys.readouterr().out


def test_orders_that_are_opposed_are_told() -> None:
    summary = report(rows({"a": 0.2, "b": 0.8}, {"a": 0.9, "b": 0.1}), ("a", "b"), (1, 2))
    assert "opposed beyond noise" in verdict(summary)
    assert summary["figures"]["good_share"]["opposed"] == [["a", "b"]]


def test_a_saturated_machine_proves_nothing() -> None:
    values = {"a": 0.2, "b": 0.8}
    summary = report(rows(values, values, "picker 0.97 of its one core"), ("a", "b"), (1, 2))
    assert "was saturated" in verdict(summary)
    assert "picker 0.97" in verdict(summary)


def test_a_study_that_is_not_whole_has_no_report() -> None:
    values = {"a": 0.2, "b": 0.8}
    with pytest.raises(SystemExit, match="4 of 12 runs are missing"):
        report(rows(values, values), ("a", "b"), (1, 2, 3))
