from __future__ import annotations

import logging
from pathlib import Path

import click
import pytest

from epp.app.settings import DEFAULT_RECEIVE_BYTES, MetricsGuard, ServeSettings
from epp.cli.main import cli
from epp.cli.settings import log_threshold, serve_settings, warnings


def settings(*arguments: str) -> ServeSettings:
    with cli.make_context("epp", [*arguments, "check-config"]) as context:
        return serve_settings(context.params)


def test_the_defaults_of_flags_and_settings_are_the_same() -> None:
    assert settings() == ServeSettings()


@pytest.mark.parametrize("text", ["", "0"])
def test_no_size_is_the_default(text: str) -> None:
    given = settings(f"--grpc-max-recv-msg-size={text}", f"--grpc-max-send-msg-size={text}")
    assert given.max_receive_bytes == DEFAULT_RECEIVE_BYTES
    assert given.max_send_bytes == -1


def test_scraping_faster_than_the_bound_is_raised_to_it_with_a_warning() -> None:
    with cli.make_context("epp", ["--refresh-metrics-interval=10ms", "check-config"]) as context:
        assert serve_settings(context.params).refresh_metrics_seconds == 0.05
        assert warnings(context.params) == [
            "--refresh-metrics-interval: below 50ms, raised to 50ms"
        ]
    with cli.make_context("epp", ["--refresh-metrics-interval=50ms", "check-config"]) as context:
        assert warnings(context.params) == []


def test_the_zap_level_wins_over_the_verbosity() -> None:
    with cli.make_context("epp", ["-v=5", "--zap-log-level=error", "check-config"]) as context:
        assert log_threshold(context.params).level == logging.ERROR
        assert serve_settings(context.params).log_requests is False


@pytest.mark.parametrize(
    ("arguments", "guard"),
    [
        ([], MetricsGuard()),
        (["--metrics-endpoint-auth=false"], MetricsGuard(authenticates=False)),
        (["--metrics-cert-dir=/c"], MetricsGuard(cert_folder=Path("/c"))),
        (
            ["--metrics-cert-dir=/c", "--metrics-client-ca-file=/ca", "--metrics-endpoint-auth=0"],
            MetricsGuard(False, Path("/c"), Path("/ca")),
        ),
    ],
)
def test_how_the_metrics_page_is_guarded(arguments: list[str], guard: MetricsGuard) -> None:
    assert settings(*arguments).metrics_guard == guard


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--metrics-client-ca-file=/ca"], "--metrics-client-ca-file: needs --metrics-cert-dir"),
        (
            ["--metrics-cert-dir=/c", "--metrics-endpoint-auth=false"],
            "--metrics-cert-dir: without --metrics-client-ca-file it needs",
        ),
        (["--tls-min-version=VersionTLS99"], "--tls-min-version: 'VersionTLS99' is not one of"),
        (["--tls-cipher-suites=TLS_X"], "--tls-cipher-suites: TLS_X: no such suite"),
        (["--tls-min-version=VersionTLS13", "--transport=grpcio"], "needs --transport=http2"),
    ],
)
def test_what_does_not_fit_together_is_refused(arguments: list[str], text: str) -> None:
    with pytest.raises(click.UsageError, match=text.replace(".", r"\.")):
        settings(*arguments)
