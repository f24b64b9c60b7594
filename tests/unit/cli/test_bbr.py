from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from epp.cli.main import cli


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["bbr", *arguments], prog_name="epp")


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (["--grpc-port", "70000"], "--grpc-port"),
        (["--grpc-port", "9005"], "--grpc-health-port and --grpc-port are both 9005"),
        (["--metrics-port", "9004"], "--metrics-port and --grpc-port are both 9004"),
        (["--plugin", "x:y"], "--plugin: 'x:y': unknown type 'x'"),
        (["--base-model-map", "no-such-file"], "--base-model-map"),
        (["--max-body-bytes", "-1"], "--max-body-bytes"),
        (["--drain-timeout", "soon"], "'soon' is not a duration"),
        (["--streaming=perhaps"], "--streaming"),
        (["--cert-path", "no-such-folder"], "no-such-folder"),
        (["--no-such-flag"], "--no-such-flag"),
    ],
)
def test_what_is_wrong_on_the_command_line_is_named(flags: Sequence[str], text: str) -> None:
    result = run(*flags)
    assert result.exit_code in (1, 2)
    assert text in result.output


def test_a_base_model_map_that_cannot_be_used_is_fatal_with_its_reason(tmp_path: Path) -> None:
    file = tmp_path / "models.yaml"
    file.write_text("baseModels: [{}]")
    ports = ("--grpc-port=0", "--grpc-health-port=0", "--metrics-port=0", "--host=127.0.0.1")
    result = run("--base-model-map", str(file), *ports)
    assert result.exit_code == 1
    assert f"--base-model-map: {file}: baseModels[0].baseModel: is missing" in result.output


def test_a_kubeconfig_that_is_not_there_is_fatal_with_its_reason(tmp_path: Path) -> None:
    ports = ("--grpc-port=0", "--grpc-health-port=0", "--metrics-port=0", "--host=127.0.0.1")
    result = run("--kubeconfig", str(tmp_path / "none"), *ports)
    assert result.exit_code == 1
    assert f"kubeconfig: no such file: {tmp_path / 'none'}" in result.output
