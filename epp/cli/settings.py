"""From the values of the flags to the settings of one picker process."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from epp.app.settings import DEFAULT_RECEIVE_BYTES, MetricsGuard, ServeSettings, Transport
from epp.cli.kubernetes import kubernetes_settings, metrics_pool_name
from epp.extproc.transport.tls_policy import TlsPolicy, tls_policy
from epp.telemetry.legacy import Families
from epp.telemetry.logs import Threshold, threshold
from epp.telemetry.tracing_settings import tracing_settings

LEAST_SCRAPE_SECONDS = 0.05


def log_threshold(flags: Mapping[str, Any]) -> Threshold:
    return threshold(flags["v"], flags["zap_log_level"])


def warnings(flags: Mapping[str, Any]) -> list[str]:
    """What is taken otherwise than it was said, with any value of the other flags."""
    if flags["refresh_metrics_interval"] < LEAST_SCRAPE_SECONDS:
        return ["--refresh-metrics-interval: below 50ms, raised to 50ms"]
    return []


def serve_settings(flags: Mapping[str, Any], *, own_discovery: bool = False) -> ServeSettings:
    """`own_discovery`, if the document says where endpoints are.

    Raises click.UsageError for values that do not fit together.
    """
    return ServeSettings(
        host=flags["host"],
        grpc_port=flags["grpc_port"],
        grpc_health_port=flags["grpc_health_port"],
        metrics_port=flags["metrics_port"],
        pool_name=metrics_pool_name(flags, own_discovery=own_discovery),
        config_file=_path(flags["config_file"]),
        watch_config=flags["enable_config_reload"],
        kubernetes=kubernetes_settings(flags),
        secure_serving=flags["secure_serving"],
        cert_path=_path(flags["cert_path"]),
        enable_cert_reload=flags["enable_cert_reload"],
        tls=tls_policy_of(flags),
        health_checking=flags["health_checking"],
        transport=Transport(flags["transport"]),
        max_receive_bytes=flags["grpc_max_recv_msg_size"] or DEFAULT_RECEIVE_BYTES,
        max_send_bytes=flags["grpc_max_send_msg_size"] or -1,
        drain_seconds=flags["drain_timeout"],
        use_subset=not flags["disable_endpoint_subset_filter"],
        emit_scores=flags["emit_endpoint_scores"],
        refresh_metrics_seconds=max(LEAST_SCRAPE_SECONDS, flags["refresh_metrics_interval"]),
        metrics_staleness_seconds=flags["metrics_staleness_threshold"],
        count_streams=flags["enable_grpc_stream_metrics"],
        metrics_guard=metrics_guard_of(flags),
        elects_leader=flags["ha_enable_leader_election"],
        log_requests=log_threshold(flags).requests,
        replay_sampling=flags["replay_sampling"],
        metrics_families=Families(flags["metrics_families"]),
        tracing=tracing_settings(os.environ, enabled=flags["tracing"]),
    )


def tls_policy_of(flags: Mapping[str, Any]) -> TlsPolicy:
    """Raises click.UsageError."""
    suites = [name for names in flags["tls_cipher_suites"] for name in names]
    try:
        policy = tls_policy(flags["tls_min_version"], suites)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    if Transport(flags["transport"]) is Transport.GRPCIO and policy.only_1_3:
        raise click.UsageError(
            "--tls-min-version, --tls-cipher-suites: TLS 1.3 alone needs --transport=http2, "
            "grpcio always takes 1.2 as well"
        )
    return policy


def metrics_guard_of(flags: Mapping[str, Any]) -> MetricsGuard:
    """Raises click.UsageError."""
    folder, ca_file = _path(flags["metrics_cert_dir"]), _path(flags["metrics_client_ca_file"])
    authenticates = flags["metrics_endpoint_auth"]
    if ca_file is not None and folder is None:
        raise click.UsageError("--metrics-client-ca-file: needs --metrics-cert-dir")
    if folder is not None and ca_file is None and not authenticates:
        raise click.UsageError(
            "--metrics-cert-dir: without --metrics-client-ca-file it needs --metrics-endpoint-auth"
        )
    return MetricsGuard(authenticates, folder, ca_file)


def _path(text: str) -> Path | None:
    return Path(text) if text else None
