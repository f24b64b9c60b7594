"""What the command line says of one picker process, beside the configuration document."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from epp.datalayer.discovery.kubernetes.settings import KubernetesSettings
from epp.extproc.transport.tls_policy import TlsPolicy
from epp.telemetry.legacy import Families
from epp.telemetry.tracing_settings import TracingSettings

DEFAULT_RECEIVE_BYTES = 64 << 20


class Transport(StrEnum):
    """What serves the gRPC ports."""

    HTTP2 = "http2"  # our own
    GRPCIO = "grpcio"


@dataclass(frozen=True, slots=True)
class MetricsGuard:
    """Who may read the metrics page."""

    authenticates: bool = True  # bearer tokens, with Kubernetes only
    cert_folder: Path | None = None  # with tls.crt and tls.key; None: plain HTTP
    client_ca_file: Path | None = None  # clients need a certificate of one of these authorities


@dataclass(frozen=True, slots=True)
class ServeSettings:
    host: str = "0.0.0.0"
    grpc_port: int = 9002  # 0: any free one, like the other ports
    grpc_health_port: int = 9003
    metrics_port: int = 9090
    pool_name: str = "epp"  # in metrics
    config_file: Path | None = None  # where the configuration document is from
    watch_config: bool = True  # take over a changed one; else only at SIGHUP
    kubernetes: KubernetesSettings | None = None  # a discovery in the document goes before it
    secure_serving: bool = True
    cert_path: Path | None = None  # folder with tls.crt and tls.key; None: self-signed
    enable_cert_reload: bool = False
    tls: TlsPolicy = TlsPolicy()  # of the ext-proc port
    health_checking: bool = False  # the health service also on the ext-proc port
    transport: Transport = Transport.HTTP2
    max_receive_bytes: int = DEFAULT_RECEIVE_BYTES
    max_send_bytes: int = -1  # no limit
    drain_seconds: float = 30.0
    use_subset: bool = True
    emit_scores: bool = False
    refresh_metrics_seconds: float = 0.05  # at the most so often
    metrics_staleness_seconds: float = 2.0
    count_streams: bool = False  # how many are open, how long they were, how they ended
    metrics_guard: MetricsGuard = MetricsGuard()
    elects_leader: bool = False  # ready only as the holder of the lease
    access_log: bool = True  # take the gateway's access log on the ext-proc port
    log_requests: bool = True
    replay_sampling: float = 0.0  # share of decisions that are recorded to be taken again
    metrics_families: Families = Families.BOTH
    tracing: TracingSettings = TracingSettings()
