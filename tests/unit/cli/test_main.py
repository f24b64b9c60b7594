from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from epp.cli.main import cli

OTEL_VARIABLES = (
    "OTEL_TRACES_EXPORTER",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_SDK_DISABLED",
)
HEAD = "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments, prog_name="epp")


def document(folder: Path, body: str = "") -> str:
    file = folder / "epp.yaml"
    file.write_text(HEAD + body)
    return str(file)


def test_check_config_says_what_a_document_comes_to(tmp_path: Path) -> None:
    body = "plugins: [{type: queue-scorer}]\nsaturationDetector: {pluginRef: utilization-detector}"
    result = run("check-config", document(tmp_path, body))
    assert result.exit_code == 0
    assert "scorer queue-scorer, weight 1" in result.output
    assert "differences from the Go picker" in result.output


def test_check_config_shows_preferences_and_what_remembers(tmp_path: Path) -> None:
    body = "plugins: [{type: prefix-cache-affinity-filter}, {type: round-robin-picker}]"
    result = run("check-config", document(tmp_path, body))
    assert "preference PrefixCacheAffinityFilter(affinity_threshold=0.8," in result.output
    assert "picker RoundRobinPicker()" in result.output


def test_check_config_shows_shadows_and_that_they_are_ours(tmp_path: Path) -> None:
    body = (
        "plugins: [{type: queue-scorer}, {type: random-picker}]\n"
        "schedulingProfiles: [{name: live, plugins: [{pluginRef: queue-scorer}]}]\n"
        "shadowProfiles: [{name: other, maxLoopShare: 0.02, plugins: [{pluginRef: random-picker}]}]"
    )
    result = run("check-config", document(tmp_path, body))
    assert result.exit_code == 0, result.output
    assert "shadow, at most 2 % of the loop's time:\nprofile other:\n" in result.output
    assert "  shadowProfiles: ours; the Go picker refuses" in result.output


def test_check_config_names_every_problem_with_file_and_place(tmp_path: Path) -> None:
    file = document(tmp_path, "plugins: [{type: a}, {type: b}]")
    result = run("check-config", file)
    assert result.exit_code == 1
    assert f"{file}: plugins[0].type: plugin type 'a'" in result.output
    assert f"{file}: plugins[1].type: plugin type 'b'" in result.output


def test_check_config_looks_at_the_flags_too(tmp_path: Path) -> None:
    file = document(tmp_path, "plugins: [{type: queue-scorer}]")
    flags = [f"--config-file={file}", "--refresh-metrics-interval=20ms", "--tracing"]
    result = run(*flags, "check-config")
    assert result.exit_code == 0
    assert f"{file}: valid" in result.output
    assert "warning: --refresh-metrics-interval: below 50ms, raised to 50ms" in result.output
    assert "\n  --tracing: spans only where OTEL_TRACES_EXPORTER" in result.output


@pytest.mark.parametrize(
    ("variables", "flag", "says"),
    [
        ({}, "true", "no spans: neither OTEL_TRACES_EXPORTER nor an OTLP endpoint is set"),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, "true", "spans go to localhost:4317 by OTLP (grpc)"),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, "false", "no spans: --tracing=false"),
    ],
)
def test_check_config_says_where_spans_go(
    tmp_path: Path, variables: dict[str, str], flag: str, says: str
) -> None:
    environment = {**dict.fromkeys(OTEL_VARIABLES), **variables}
    arguments = [f"--tracing={flag}", "check-config", document(tmp_path)]
    result = CliRunner().invoke(cli, arguments, prog_name="epp", env=environment)
    assert f"\ntracing: {says}" in result.output


def test_check_config_says_what_it_cannot_read_of_traces(tmp_path: Path) -> None:
    environment = {"OTEL_TRACES_EXPORTER": "console", "OTEL_TRACES_SAMPLER_ARG": "2"}
    arguments = ["check-config", document(tmp_path)]
    result = CliRunner().invoke(cli, arguments, prog_name="epp", env=environment)
    assert "warning: OTEL_TRACES_SAMPLER_ARG: '2' is no number from 0 to 1: 0.1" in result.output


def test_check_config_refuses_flags_that_do_not_fit(tmp_path: Path) -> None:
    file = document(tmp_path)
    result = run("--metrics-client-ca-file=ca.crt", "check-config", file)
    assert result.exit_code == 2
    assert "--metrics-client-ca-file: needs --metrics-cert-dir" in result.output


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (["--config-file", "x", "--config-text", "y"], "cannot both be given"),
        (["--config-file", "no-such-file"], "no-such-file"),
        (["--config-text", "kind: x"], "--config-text: apiVersion: is missing"),
        (["--config-text", HEAD], "either --pool-name or --endpoint-selector must be set"),
        (["--grpc-port", "70000"], "--grpc-port"),
        (["--drain-timeout", "soon"], "'soon' is not a duration"),
        (["--grpc-max-recv-msg-size", "-1Mi"], "is below zero"),
        (["--secure-serving=perhaps"], "--secure-serving"),
        (["--metrics-families", "all"], "--metrics-families"),
        (["--replay-sampling", "nan"], "'nan' is not a finite number"),
        (["--no-such-flag"], "--no-such-flag"),
    ],
)
def test_what_is_wrong_on_the_command_line_is_named(flags: Sequence[str], text: str) -> None:
    result = run(*flags)
    assert result.exit_code in (1, 2)
    assert text in result.output


DISCOVERY = """
plugins: [{type: file-discovery, parameters: {path: %s}}]
dataLayer: {discovery: {pluginRef: file-discovery}}
"""


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, "No such file"),
        ("endpoints: [{name: a, address: host, port: 1}]", "endpoints[0].address"),
        ("endpoints: 7", "endpoints"),
    ],
)
def test_an_endpoints_file_that_cannot_be_used_is_fatal_with_its_reason(
    tmp_path: Path, content: str | None, text: str
) -> None:
    endpoints = tmp_path / "endpoints.yaml"
    if content is not None:
        endpoints.write_text(content)
    ports = ["--grpc-port=0", "--grpc-health-port=0", "--metrics-port=0", "--host=127.0.0.1"]
    result = run("--config-file", document(tmp_path, DISCOVERY % endpoints), *ports)
    assert result.exit_code == 1
    assert text in result.output


def test_that_no_body_is_parsed_is_told(tmp_path: Path) -> None:
    only = document(tmp_path, "requestHandler: {parsers: [{pluginRef: passthrough-parser}]}")
    line = "bodies: passed on, none is parsed"
    assert line in run("check-config", only).output
    assert line not in run("check-config", document(tmp_path, "")).output


def test_with_a_discovery_a_selector_needs_no_pod_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("POD_NAME", raising=False)
    flags = ["--endpoint-selector=app=vllm", "--endpoint-target-ports=8000", "check-config"]
    assert "POD_NAME" in run(*flags).output
    result = run(*flags, document(tmp_path, DISCOVERY % (tmp_path / "e.yaml")))
    assert result.exit_code == 0, result.output


def test_a_certificate_folder_without_a_certificate_is_fatal(tmp_path: Path) -> None:
    config = document(tmp_path, DISCOVERY % (tmp_path / "e.yaml"))
    result = run("--config-file", config, "--cert-path", str(tmp_path))
    assert result.exit_code == 1
    assert "tls.crt" in result.output


def test_a_picker_without_arguments_says_what_it_needs() -> None:
    nothing, harmless = run(), run("--host", "127.0.0.1")
    assert nothing.exit_code == harmless.exit_code == 1
    assert "either --pool-name or --endpoint-selector must be set" in nothing.output
    assert nothing.output == harmless.output


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--config-file", "x.yaml", "local"], "--config-file stands after `local`"),
        (["--grpc-port=1", "bbr"], "--grpc-port stands after `bbr`"),
        (["-v", "4", "bbr"], "-v stands after `bbr`"),
        (["--host=h", "simulate"], "--host stands after `simulate`"),
        (["--grpc-port", "1", "sim"], "--grpc-port is a flag of `epp`, `sim` does not"),
        (["--tracing", "sim", "gates"], "--tracing is a flag of `epp`, `sim` does not take"),
        (["--config-file", "x.yaml", "explain"], "--config-file is a flag of `epp`, `exp"),
    ],
)
def test_a_flag_before_a_subcommand_that_never_sees_it_is_an_error(
    arguments: Sequence[str], problem: str
) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert problem in result.output


WRONG_DOCUMENTS = [
    (b"\xff\xfe", "'utf-8' codec can't decode byte 0xff"),
    (b"", "document: is not a mapping"),
    (b"a: [", "line 2, column 1: "),
    (b"- a", "document: is not a mapping"),
    (HEAD.encode() + b"plugins: {}", "plugins: "),
    (HEAD.encode() + b"dataLayer: 7", "dataLayer: "),
    (HEAD.encode() + b"kind: EndpointPickerConfig", "line 3, column 1: duplicate key 'kind'"),
    (HEAD.encode() + b"plugin: []", "plugin: unknown field"),
]


@pytest.mark.parametrize("command", [["check-config"], ["local", "--config-file"]])
@pytest.mark.parametrize(("content", "problem"), WRONG_DOCUMENTS)
def test_a_wrong_document_is_told_with_the_name_of_its_file(
    tmp_path: Path, command: Sequence[str], content: bytes, problem: str
) -> None:
    file = tmp_path / "epp.yaml"
    file.write_bytes(content)
    result = run(*command, str(file))
    assert result.exit_code == 1
    assert f"epp: {file}: {problem}" in result.output
    assert len(result.output.splitlines()) == 1


def test_a_document_that_cannot_be_read_is_told_before_anything_starts(tmp_path: Path) -> None:
    missing, folder = run("local", "--config-file", "nowhere"), run("--config-file", str(tmp_path))
    assert (missing.exit_code, folder.exit_code) == (1, 1)
    assert missing.output == "epp: nowhere: No such file or directory\n"
    assert folder.output == f"epp: {tmp_path}: Is a directory\n"


@pytest.mark.parametrize("arguments", [["--help"], ["local", "--help"], ["simulate", "--help"]])
def test_help(arguments: Sequence[str]) -> None:
    result = run(*arguments)
    assert result.exit_code == 0
    assert "Usage: epp" in result.output


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("--max-num-seqs=0", "max_num_seqs must be at least 1"),
        ("--speed=0", "--speed"),
        ("--speed=nan", "'nan' is not a finite number"),
        ("--profile=none", "profile 'none' is unknown"),
    ],
)
def test_a_simulation_that_cannot_be_is_refused(option: str, text: str) -> None:
    result = run("simulate", option)
    assert result.exit_code == 2
    assert text in result.output


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        (["--port", "0"], "0 is not in the range 1<=x<=65535"),
        (["--backends", " , "], "--backends: ' , ' names no model server"),
        (["--backends", ""], "--backends: '' names no model server"),
    ],
)
def test_a_stack_that_cannot_be_is_refused(flags: Sequence[str], problem: str) -> None:
    result = run("local", *flags)
    assert result.exit_code == 2
    assert problem in result.output


def test_simulated_servers_that_cannot_listen_name_the_address() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = run("simulate", "--port", str(port))
    assert result.exit_code == 1
    assert result.output == (
        f"epp simulate: cannot listen on 127.0.0.1:{port}: Address already in use\n"
    )
    unknown = run("simulate", "--host", "no-such-host.invalid", "--port", "1")
    assert unknown.exit_code == 1
    assert "epp simulate: cannot listen on no-such-host.invalid:1: " in unknown.output


def test_a_port_of_two_simulated_servers_is_refused() -> None:
    result = run("simulate", "--port", "8001", "--port", "8002", "--port", "8001")
    assert result.exit_code == 2
    assert "--port: 8001 is given twice" in result.output


@pytest.mark.parametrize("arguments", [["--help"], ["envoy-config", "--model-servers=[::1]:1"]])
def test_a_full_device_is_one_line(arguments: Sequence[str]) -> None:
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "epp", *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert ended.returncode == 1
    assert ended.stderr == "epp: No space left on device\n"
