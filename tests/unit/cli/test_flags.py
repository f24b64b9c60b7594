from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from epp.cli.flags import ALL, OLD_METRIC_FLAGS, SECTIONS
from epp.cli.main import cli

# The flags of the Go picker with the defaults that a chart may count on, as Python values.
# The largest message taken is 4 MiB there.
DEFAULTS: dict[str, object] = {
    "--grpc-port": 9002,
    "--grpc-health-port": 9003,
    "--metrics-port": 9090,
    "--ha-enable-leader-election": False,
    "--drain-timeout": 30.0,
    "--grpc-max-recv-msg-size": 64 << 20,
    "--grpc-max-send-msg-size": 0,
    "--pool-name": "",
    "--pool-namespace": "",
    "--pool-group": "inference.networking.k8s.io",
    "--endpoint-selector": "",
    "--endpoint-target-ports": (),
    "--kubeconfig": "",
    "--disable-endpoint-subset-filter": False,
    "--emit-endpoint-scores": False,
    "--refresh-metrics-interval": 0.05,
    "--refresh-prometheus-metrics-interval": 5.0,
    "--metrics-staleness-threshold": 2.0,
    "--total-queued-requests-metric": None,
    "--total-running-requests-metric": None,
    "--kv-cache-usage-percentage-metric": None,
    "--lora-info-metric": None,
    "--cache-info-metric": None,
    "-v": 2,
    "--v": 2,
    "--zap-devel": False,
    "--zap-encoder": "",
    "--zap-log-level": "",
    "--zap-stacktrace-level": "",
    "--zap-time-encoding": "",
    "--tracing": True,
    "--health-checking": False,
    "--enable-pprof": True,
    "--secure-serving": True,
    "--cert-path": "",
    "--enable-cert-reload": False,
    "--tls-min-version": "",
    "--tls-cipher-suites": (),
    "--enable-grpc-stream-metrics": False,
    "--metrics-endpoint-auth": True,
    "--metrics-client-ca-file": "",
    "--metrics-cert-dir": "",
    "--config-file": "",
    "--config-text": "",
    "--allow-experimental-plugins": False,
}
BY_NAME = {name: option for option in ALL for name in option.opts}


@pytest.mark.parametrize(("name", "default"), DEFAULTS.items())
def test_every_flag_of_the_go_picker_has_its_default(name: str, default: object) -> None:
    with cli.make_context("epp", ["check-config"]) as context:
        option = BY_NAME[name]
        assert option.name is not None
        assert context.params[option.name] == default


# A value that a chart passes for each flag, and what it means. The old metric flags are refused.
VALUES: dict[str, tuple[str, object]] = {
    "--grpc-port": ("9102", 9102),
    "--drain-timeout": ("1m30s", 90.0),
    "--grpc-max-recv-msg-size": ("25MB", 25_000_000),
    "--refresh-metrics-interval": ("200ms", 0.2),
    "--pool-name": ("llama", "llama"),
    "-v": ("5", 5),
    "--zap-encoder": ("json", "json"),
    "--zap-time-encoding": ("rfc3339nano", "rfc3339nano"),
    "--secure-serving": ("f", False),
    "--metrics-endpoint-auth": ("FALSE", False),
    "--tls-cipher-suites": ("A,B", (("A", "B"),)),
}


@pytest.mark.parametrize("joined", [True, False])
@pytest.mark.parametrize("name", VALUES)
def test_a_value_stands_behind_an_equals_sign_or_a_blank(name: str, joined: bool) -> None:
    text, value = VALUES[name]
    words = [f"{name}={text}"] if joined else [name, text]
    with cli.make_context("epp", [*words, "check-config"]) as context:
        option = BY_NAME[name]
        assert option.name is not None
        assert context.params[option.name] == value


SWITCHES = sorted(name for name, value in DEFAULTS.items() if isinstance(value, bool))


@pytest.mark.parametrize("name", SWITCHES)
@pytest.mark.parametrize(("suffix", "value"), [("", True), ("=t", True), ("=0", False)])
def test_a_switch_may_stand_alone(name: str, suffix: str, value: bool) -> None:
    with cli.make_context("epp", [f"{name}{suffix}", "--v=2", "check-config"]) as context:
        option = BY_NAME[name]
        assert option.name is not None
        assert context.params[option.name] is value


def test_a_switch_may_stand_right_before_a_command() -> None:
    with cli.make_context("epp", ["--emit-endpoint-scores", "check-config"]) as context:
        assert context.params["emit_endpoint_scores"] is True


@pytest.mark.parametrize("name", OLD_METRIC_FLAGS)
def test_the_old_metric_flags_are_an_error_with_the_way_out(name: str) -> None:
    result = CliRunner().invoke(cli, [f"{name}=vllm:x", "check-config"], prog_name="epp")
    assert result.exit_code == 2
    assert name in result.output
    assert "is deprecated and cannot be used; configure metrics via engineConfigs" in result.output


def test_help_shows_the_flags_under_their_titles() -> None:
    text = CliRunner().invoke(cli, ["--help"], prog_name="epp").output
    places = [text.index(f"\n{title}:\n") for title in SECTIONS]
    assert places == sorted(places)
    assert text.index("--metrics-cert-dir") > text.index("\nMetrics:\n")
    assert "check-config" in text[text.index("\nCommands:\n") :]


def test_every_flag_is_in_one_section_and_has_one_name() -> None:
    names = [name for option in ALL for name in option.opts]
    assert len(names) == len(set(names))
    assert all(isinstance(option, click.Option) for option in ALL)
