"""The documents of docs/disaggregation.md and shadow.md come to what the pages say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from epp.cli.main import cli

PAGE = Path(__file__).parents[3] / "docs/disaggregation.md"
BLOCK = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)
BLOCKS = BLOCK.findall(PAGE.read_text(encoding="utf-8"))
DOCUMENTS = [text for text in BLOCKS if text.startswith("apiVersion:")]
COME_TO = [
    ("disagg", ["prefill", "decode"]),
    ("disagg", ["encode", "prefill", "decode"]),
    ("header", ["encode", "prefill", "decode"]),
    ("data-parallel", ["default"]),
]


def test_every_document_of_the_page_is_looked_at() -> None:
    assert len(DOCUMENTS) == len(COME_TO)


@pytest.mark.parametrize("place", range(len(COME_TO)), ids=["pd", "epd", "coordinator", "ranks"])
def test_a_document_of_the_page_is_valid(place: int, tmp_path: Path) -> None:
    document, (handler, profiles) = DOCUMENTS[place], COME_TO[place]
    file = tmp_path / "epp.yaml"
    file.write_text(document)
    result = CliRunner().invoke(cli, ["check-config", str(file)], prog_name="epp")
    assert result.exit_code == 0, result.output
    assert f"profile handler {handler}-profile-handler: " in result.output
    for name in profiles:
        assert f"\nprofile {name}:\n" in result.output
    shares = "prefill by profile prefill, if prefix-based-pd-decider says so" in result.output
    assert shares is (handler == "disagg")
    unexpected = [line for line in result.output.splitlines() if line.startswith("  plugins[")]
    assert [line for line in unexpected if "deprecated" not in line] == []


def test_the_document_of_the_shadow_page_and_the_line_that_promotes(tmp_path: Path) -> None:
    page = PAGE.with_name("shadow.md").read_text(encoding="utf-8")
    text, promotion = BLOCK.findall(page)
    file = tmp_path / "epp.yaml"
    shown = {}
    for name, document in (("before", text), ("after", text + promotion)):
        file.write_text(document)
        result = CliRunner().invoke(cli, ["check-config", str(file)], prog_name="epp")
        assert result.exit_code == 0, result.output
        shown[name] = [x for x in result.output.splitlines() if x.startswith(("profile", "shadow"))]
    one, half = (f"shadow, at most {share} % of the loop's time:" for share in ("1", "0.5"))
    weighted, cost, plain = (f"profile {p}:" for p in ("weighted", "marginal-cost", "no-prefix"))
    assert shown["before"] == [weighted, one, cost, half, plain]
    assert shown["after"] == [cost, one, weighted, half, plain]
