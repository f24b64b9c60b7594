from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from epp.cli.main import cli
from epp.envoyconfig.bootstrap import bootstrap
from epp.envoyconfig.settings import Balancing, EnvoySettings, Mode

DEFAULTS: dict[str, Any] = {
    "listen_host": "0.0.0.0",
    "listen_port": 8081,
    "picker_port": 9002,
    "picker_tls": True,
    "admin_port": 19000,
    "status_port": 19001,
}


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["envoy-config", *arguments], prog_name="epp")


@pytest.mark.parametrize(
    ("arguments", "settings"),
    [
        pytest.param([], {"balancing": Balancing.ORIGINAL_DST}, id="defaults"),
        pytest.param(
            ["--model-servers=gpus.ns.svc:8000, gpus.ns.svc:8001", "--picker=epp.ns.svc:9002"],
            {
                "model_server_names": ("gpus.ns.svc:8000", "gpus.ns.svc:8001"),
                "picker_host": "epp.ns.svc",
            },
            id="names",
        ),
        pytest.param(
            ["--model-servers=10.0.0.1:8000,[fd00::1]:8000", "--listen=[::]:80", "--mode=full"],
            {
                "model_servers": ("10.0.0.1:8000", "[fd00::1]:8000"),
                "listen_host": "::",
                "listen_port": 80,
                "mode": Mode.FULL,
            },
            id="addresses",
        ),
        pytest.param(
            ["--picker-tls=false", "--fail-open=false", "--envoy-version=v1.37.2"],
            {
                "balancing": Balancing.ORIGINAL_DST,
                "picker_tls": False,
                "fail_open": False,
                "envoy_version": (1, 37, 2),
            },
            id="switches",
        ),
    ],
)
def test_it_prints_what_the_generator_makes(arguments: list[str], settings: dict[str, Any]) -> None:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    assert json.loads(result.output) == bootstrap(EnvoySettings(**{**DEFAULTS, **settings}))


def test_it_writes_a_file(tmp_path: Path) -> None:
    file = tmp_path / "bootstrap.json"
    assert run(f"--output={file}").output == ""
    assert json.loads(file.read_text()) == json.loads(run().output)


@pytest.mark.parametrize(
    ("argument", "complaint"),
    [
        ("--listen=8081", "--listen: '8081' is not host:port"),
        ("--listen=gateway:80", "listen_host: 'gateway' is not an IP address"),
        ("--picker=epp", "--picker: 'epp' is not host:port"),
        ("--model-servers=gpu:1,10.0.0.1:1", "model_server_names[1]: '10.0.0.1:1'"),
        ("--model-servers=10.0.0.1:0", "model_servers[0]: '10.0.0.1:0' has no port"),
        ("--admin-port=0", "status_port: shows the admin interface, which has no fixed port"),
        ("--envoy-version=latest", "--envoy-version: 'latest' is not like 1.40.0"),
        ("--output=/no/such/folder/file", "--output: "),
    ],
)
def test_what_is_wrong_is_named(argument: str, complaint: str) -> None:
    result = run(argument)
    assert result.exit_code == 1
    assert complaint in result.output
