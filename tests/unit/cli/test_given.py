from __future__ import annotations

import pytest

from epp.cli.given import DIFFERENCES, flag_differences, given_flags
from epp.cli.main import cli


def differences(*arguments: str, file_discovery: bool = False) -> tuple[str, ...]:
    with cli.make_context("epp", [*arguments, "check-config"]) as context:
        return flag_differences(given_flags(context), file_discovery=file_discovery)


def test_defaults_are_not_given() -> None:
    with cli.make_context("epp", ["--grpc-port=9002", "check-config"]) as context:
        assert given_flags(context) == {"grpc_port": 9002}
    assert differences() == ()


@pytest.mark.parametrize(
    ("argument", "flag"),
    [
        ("--tracing", "--tracing"),
        ("--enable-pprof=1", "--enable-pprof"),
        ("--zap-encoder=console", "--zap-encoder"),
        ("--zap-log-level=debug", "--zap-log-level"),
        ("--tls-min-version=VersionTLS11", "--tls-min-version"),
        ("--grpc-max-recv-msg-size=", "--grpc-max-recv-msg-size"),
        ("--refresh-metrics-interval=50ms", "--refresh-metrics-interval"),
    ],
)
def test_a_value_that_does_otherwise_is_told(argument: str, flag: str) -> None:
    (line,) = differences(argument)
    assert line.startswith(f"{flag}: ")


@pytest.mark.parametrize(
    "argument",
    [
        "--tracing=false",
        "--enable-pprof=false",
        "--zap-encoder=json",
        "--zap-log-level=info",
        "--zap-time-encoding=epoch",
        "--tls-min-version=VersionTLS12",
        "--grpc-max-recv-msg-size=8Mi",
        "--metrics-cert-dir=/certs",  # the same with Kubernetes
    ],
)
def test_a_value_that_does_the_same_is_not(argument: str) -> None:
    assert differences(argument) == ()


def test_some_hold_only_with_endpoints_from_a_file() -> None:
    assert differences("--metrics-cert-dir=/certs", file_discovery=True) != ()


def test_the_table_names_flags_that_exist() -> None:
    names = {parameter.name for parameter in cli.params}
    assert {difference.flag for difference in DIFFERENCES} <= names
