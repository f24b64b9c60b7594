from __future__ import annotations

import json
import math
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from epp.simulation.laboratory.cell import Cell
from epp.simulation.laboratory.comparison import Comparison, compare
from epp.simulation.laboratory.plots import plot
from epp.simulation.laboratory.report import ROWS, document, table
from epp.simulation.policies import policy

ARMS = {
    name: Cell("zipf", "2x8b-h100", 5.0, policy(name), warm=False, seconds=8.0)
    for name in ("random", "least-request")
}


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    return compare(ARMS, (1, 2, 3), jobs=1)


def test_several_processes_find_what_one_does(comparison: Comparison) -> None:
    steps: list[None] = []
    again = compare(ARMS, (1, 2, 3), jobs=2, on_progress=lambda: steps.append(None))
    assert again.outcomes == comparison.outcomes
    assert len(steps) == 6


def test_runs_are_in_the_order_of_seeds(comparison: Comparison) -> None:
    backwards = compare(ARMS, (3, 2, 1), jobs=1)
    assert backwards.outcomes["random"] == comparison.outcomes["random"][::-1]


def test_differences_are_of_runs_with_the_same_seed(comparison: Comparison) -> None:
    ours, theirs = (comparison.values(arm, "ttft_p50") for arm in ("least-request", "random"))
    expected = sum(a - b for a, b in zip(ours, theirs, strict=True)) / 3
    found = comparison.difference("least-request", "random", "ttft_p50")
    assert found.mean == pytest.approx(expected)
    assert comparison.figure("random", "ttft_p50").mean == pytest.approx(sum(theirs) / 3)


def test_a_table_has_a_row_a_figure_and_a_column_a_difference(comparison: Comparison) -> None:
    console = Console(width=200, record=True, file=StringIO())
    console.print(table(comparison, "zipf, small"))
    text = console.export_text()
    assert "zipf, small" in text
    assert "minus random" in text
    missing = [label for _, label, _, _ in ROWS if label not in text]
    assert missing == ["servers encode images %"]  # the workload has none


def test_where_there_are_images_a_row_is_about_them() -> None:
    found = compare(
        {"a": Cell("images", "8b-h100", 2.0, "", warm=False, seconds=5.0)}, (1,), jobs=1
    )
    console = Console(width=200, record=True, file=StringIO())
    console.print(table(found, "images"))
    assert "servers encode images %" in console.export_text()


def test_every_row_is_a_figure_of_an_outcome(comparison: Comparison) -> None:
    assert {name for name, *_ in ROWS} <= comparison.outcomes["random"][0].as_dict().keys()


def test_a_document_is_json_and_has_settings_runs_and_means(comparison: Comparison) -> None:
    found = json.loads(json.dumps(document(comparison, ARMS), allow_nan=False))
    assert found["seeds"] == [1, 2, 3]
    arm = found["arms"]["random"]
    assert arm["cell"]["workload"] == "zipf"
    assert len(arm["runs"]) == 3
    mean = comparison.figure("random", "goodput").mean
    assert arm["means"]["goodput"]["mean"] == pytest.approx(mean)


def test_what_is_no_number_is_null_in_a_document_and_a_dash_in_a_table() -> None:
    none = compare({"a": Cell("zipf", "8b-h100", 1e-9, "", warm=False, seconds=1.0)}, (1,), jobs=1)
    assert math.isnan(none.figure("a", "ttft_p50").mean)
    assert document(none, {"a": ARMS["random"]})["arms"]["a"]["runs"][0]["ttft_p50"] is None
    console = Console(width=100, record=True, file=StringIO())
    console.print(table(none, ""))
    assert " - " in console.export_text()


@pytest.mark.parametrize(("suffix", "head"), [("png", b"\x89PNG"), ("svg", b"<?xml")])
def test_a_plot_is_a_picture(
    comparison: Comparison, tmp_path: Path, suffix: str, head: bytes
) -> None:
    path = tmp_path / f"plot.{suffix}"
    plot(comparison, "zipf", path)
    assert path.read_bytes().startswith(head)
