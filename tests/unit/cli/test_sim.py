from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from epp.cli.main import cli

SHORT = ("--workload", "zipf", "--fleet", "2x8b-h100", "--cold", "--seconds", "5", "--seeds", "2")


def sim(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["sim", *arguments], prog_name="epp")


def test_a_policy_beside_another_and_everything_for_machines(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    result = sim(*SHORT, "--rate", "5", "--compare", "random", "--jobs", "1", "--json", str(out))
    assert result.exit_code == 0, result.output
    assert "zipf on 2x8b-h100, 5 requests/s, 2 seeds" in result.output
    assert "minus default" in result.output
    assert set(json.loads(out.read_bytes())["arms"]) == {"default", "random"}


def test_a_closed_loop() -> None:
    result = sim(*SHORT, "--clients", "3", "--jobs", "1")
    assert result.exit_code == 0, result.output
    assert "zipf on 2x8b-h100, 3 clients" in result.output


def test_a_trace(tmp_path: Path) -> None:
    file = tmp_path / "trace.csv"
    file.write_text(
        "TIMESTAMP,ContextTokens,GeneratedTokens\n"
        "2023-11-16 18:17:03.9799600,374,44\n"
        "2023-11-16 18:17:04.0319600,396,109\n"
    )
    result = sim("--trace", str(file), "--speedup", "2", "--seeds", "1", "--jobs", "1")
    assert result.exit_code == 0, result.output
    assert "trace.csv on 8x32b-h100-tp2, 2 times as fast" in " ".join(result.output.split())
    assert "100.0" in result.output


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--workload", "best"), "--workload: 'best' is unknown; there are b2b-saas"),
        (("--fleet", "8xfast", "--rate", "1"), "--fleet: fleet '8xfast': profile 'fast'"),
        (("--rate", "1", "--clients", "1"), "--clients and --rate exclude each other"),
        (("--fleet", "8b-l4", "--workload", "rag"), "--rate or --clients is needed: the capacity"),
        (("--rate", "1", "--fault", "burn:0@1"), "--fault: fault 'burn:0@1'"),
        (("--rate", "1", "--fault", "slow:8@1"), "--fault slow:8@1: the fleet has servers 0 to 7"),
        (("--trace", "nowhere.csv"), "--trace: nowhere.csv: "),
        (("--rate", "1", "--config", "nowhere.yaml"), "'nowhere.yaml' is no file and no policy"),
        (("--rate", "1", "--fault", "slow:0@5=nan"), "--fault slow:0@5=nan: a number that is not"),
        (("--rate", "1", "--fault", "slow:0@inf"), "--fault slow:0@inf: a number that is not"),
        (("--trace", "t", "--clients", "3"), "--trace and --clients exclude each other"),
        (("--trace", "t", "--rate", "3"), "--trace and --rate exclude each other"),
        (("--trace", "t", "--load", "85"), "--trace and --load exclude each other"),
        (("--trace", "t", "--workload", "chat"), "--trace and --workload exclude each other"),
        (("--format", "azure"), "--format is only for --trace"),
        (("--speedup", "2"), "--speedup is only for --trace"),
        (("--rate", "2", "advise"), "--rate stands after `advise`"),
        (("--cold", "gates"), "--cold is a flag of `epp sim`, `gates` does not take it"),
        (("--json", "nowhere/out.json"), "'nowhere/out.json': there is no folder 'nowhere'"),
        (("--plot", "picture"), "'picture' does not end in one of .png, .svg, .pdf"),
        (("advise", "--json", "/"), "'--json': '/' is a folder"),
    ],
)
def test_what_makes_no_sense_is_told_before_anything_runs(
    arguments: tuple[str, ...], problem: str
) -> None:
    result = sim(*arguments)
    assert result.exit_code == 2
    assert problem in result.output


@pytest.mark.parametrize("value", ["nan", "inf"])
@pytest.mark.parametrize(
    "flag",
    [
        *("--rate", "--load", "--speedup", "--seconds", "--ttft-seconds", "--tpot-seconds"),
        *("--scrape-seconds", "--kv-transfer-gb-per-second"),
    ],
)
def test_what_is_no_number_is_in_no_range(flag: str, value: str) -> None:
    result = sim(flag, value)
    assert result.exit_code == 2
    assert f"'{flag}': " in result.output


def test_a_file_that_cannot_be_written_at_the_end_is_named() -> None:
    result = sim(*SHORT, "--rate", "5", "--jobs", "1", "--json", "/dev/full")
    assert result.exit_code == 1
    assert "Error: --json: /dev/full: No space left on device" in result.output


def test_a_document_that_is_no_text_is_named(tmp_path: Path) -> None:
    file = tmp_path / "epp.yaml"
    file.write_bytes(b"\xff\xfe")
    result = sim("--rate", "1", "--compare", str(file))
    assert result.exit_code == 2
    assert "epp.yaml: 'utf-8' codec can't decode" in result.output


def test_a_document_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    file = tmp_path / "epp.yaml"
    file.write_text("kind: Nonsense\n")
    result = sim("--rate", "1", "--config", str(file))
    assert result.exit_code == 2
    assert "epp.yaml" in result.output


def test_advice_in_a_table_in_words_and_for_machines(tmp_path: Path) -> None:
    out = tmp_path / "advice.json"
    result = sim(
        *("advise", "--workload", "zipf", "--fleet", "1x8b-h100", "--clients", "1"),
        *("--config", "random", "--budget-seconds", "1", "--json", str(out)),
    )
    assert result.exit_code == 0, result.output
    assert "zipf on 1x8b-h100, 1 clients" in result.output
    assert "Bottleneck: none; the fleet has room at this load." in result.output
    assert "random" in result.output
    found = json.loads(out.read_bytes())
    assert found["bottleneck"]["resource"] == "nothing"
    assert found["advised"] in found["search"]["arms"]
    assert set(found["proof"]["arms"]) == {"random", found["best"]}


def test_advice_for_a_fleet_that_there_is_not() -> None:
    result = sim("advise", "--fleet", "8xfast", "--rate", "1")
    assert result.exit_code == 2
    assert "--fleet: fleet '8xfast'" in result.output


def test_an_oracle_and_what_advice_is_called_can_be_compared() -> None:
    result = sim(*SHORT, "--rate", "5", "--compare", "oracle", "--compare", "sticky-fitted")
    assert result.exit_code == 0, result.output
    assert "oracle" in result.output
    assert "sticky-fitted" in result.output


def test_servers_that_share_requests() -> None:
    fleet = ("--fleet", "8b-h100:prefill+8b-h100:decode", "--workload", "rag", "--rate", "1")
    short = ("--cold", "--seconds", "5", "--seeds", "1", "--jobs", "1")
    result = sim(
        *(*fleet, *short, "--config", "prefill-decode-by-cost"),
        *("--kv-transfer-gb-per-second", "12.5"),
    )
    assert result.exit_code == 0, result.output
    assert "rag on 8b-h100:prefill+8b-h100:decode, 1 requests/s" in result.output
    oracle = sim(*fleet, *short, "--compare", "oracle")
    assert oracle.exit_code == 2
    assert "the oracle knows no roles" in oracle.output
