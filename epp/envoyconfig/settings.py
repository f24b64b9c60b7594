"""What varies between the Envoy configurations that we generate, checked when it is built."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from enum import StrEnum

MAX_PORT = 65_535
MAX_UINT32 = 2**32 - 1

# The lowest Envoy release that knows each part; an older one refuses to start with it.
TOKEN_USAGE_SINCE = (1, 40)
SELECTED_HOST_SINCE = (1, 38)


class Mode(StrEnum):
    """How much of an exchange Envoy shows to the picker."""

    LIGHT = "light"  # the whole request; of the response only its headers and its end
    FULL = "full"  # every chunk of both directions


class Balancing(StrEnum):
    """How Envoy follows a pick."""

    OVERRIDE_HOST = "override-host"  # an ordered list in metadata, tried in turn
    ORIGINAL_DST = "original-dst"  # one address in a header, with no list and no fallback


@dataclass(frozen=True, slots=True)
class EnvoySettings:
    """Raises ValueError, naming the field, for what Envoy would refuse or what would bypass us."""

    listen_port: int  # 0: the kernel chooses
    picker_port: int  # ext-proc, and in light mode the access log service
    model_servers: tuple[str, ...] = ()  # IP:port, IPv6 in brackets
    # Instead of them name:port, such as of a headless Service: Envoy follows what the names give.
    model_server_names: tuple[str, ...] = ()
    listen_host: str = "127.0.0.1"
    admin_host: str = "127.0.0.1"
    admin_port: int | None = None  # 0: the kernel chooses; None: no admin interface
    status_port: int | None = None  # on listen_host: /ready and /stats/prometheus; None: not
    picker_host: str = "127.0.0.1"  # a name is resolved by Envoy, again and again
    picker_tls: bool = False  # encrypted; the certificate is not verified, pickers sign their own
    mode: Mode = Mode.LIGHT
    balancing: Balancing = Balancing.OVERRIDE_HOST
    # In full mode Envoy fails open only for requests without a body, whatever is set here; and
    # with original-dst there is no server to fall back to.
    fail_open: bool = True
    # Until the picker must have answered or asked for time, in light mode. Long enough for a burst
    # of thousands to be read; a picker that is gone is noticed at once, whatever this is.
    message_timeout_seconds: float = 10.0
    max_message_timeout_seconds: float = 660.0  # the longest time that the picker may ask for
    stream_idle_timeout_seconds: float = 900.0  # above the longest wait plus the longest prefill
    # Below the picker's gRPC receive limit of 64 MiB, so that an oversized body is a 413 from
    # Envoy; a body over that limit would fail the ext-proc stream, and fail-open would bypass us.
    max_body_bytes: int = 63 * 1024 * 1024
    # Below the keep-alive of uvicorn in vLLM (5 s): a request sent while the server closes an idle
    # connection is lost, and one that may have been read is not retried.
    server_idle_timeout_seconds: float = 4.0
    access_log_flush_seconds: float = 0.1
    subset_hint: bool = True  # pass on what other filters say about allowed endpoints
    envoy_version: tuple[int, ...] = (1, 40, 0)

    def __post_init__(self) -> None:
        self._check_addresses()
        self._check_timeouts()
        if not 0 < self.max_body_bytes <= MAX_UINT32:
            raise ValueError(f"max_body_bytes: {self.max_body_bytes} is not in 1..{MAX_UINT32}")

    @property
    def has_token_usage(self) -> bool:
        return self.mode is Mode.LIGHT and self.envoy_version >= TOKEN_USAGE_SINCE

    @property
    def has_selected_host(self) -> bool:
        return self.envoy_version >= SELECTED_HOST_SINCE

    def _check_addresses(self) -> None:
        for field, host in (("listen_host", self.listen_host), ("admin_host", self.admin_host)):
            if not is_ip_literal(host):
                raise ValueError(f"{field}: {host!r} is not an IP address")
        if not self.picker_host:
            raise ValueError("picker_host: is empty")
        _check_port("listen_port", self.listen_port, lowest=0)
        _check_port("picker_port", self.picker_port, lowest=1)
        if self.admin_port is not None:
            _check_port("admin_port", self.admin_port, lowest=0)
        if self.status_port is not None:
            _check_port("status_port", self.status_port, lowest=0)
            if not self.admin_port:
                raise ValueError("status_port: shows the admin interface, which has no fixed port")
        self._check_model_servers()

    def _check_model_servers(self) -> None:
        for i, server in enumerate(self.model_servers):
            try:
                split_authority(server)
            except ValueError as error:
                raise ValueError(f"model_servers[{i}]: {error}") from None
        for i, server in enumerate(self.model_server_names):
            try:
                split_name(server)
            except ValueError as error:
                raise ValueError(f"model_server_names[{i}]: {error}") from None
        if self.model_servers and self.model_server_names:
            raise ValueError("model_server_names: model_servers are given too; only one may be")
        known = self.model_servers or self.model_server_names
        if self.balancing is Balancing.OVERRIDE_HOST and not known:
            raise ValueError("model_servers: is empty; override-host picks among known servers")

    def _check_timeouts(self) -> None:
        for field in (
            "message_timeout_seconds",
            "max_message_timeout_seconds",
            "stream_idle_timeout_seconds",
            "server_idle_timeout_seconds",
            "access_log_flush_seconds",
        ):
            # Envoy durations are written in whole milliseconds.
            if not 0.001 <= getattr(self, field) <= MAX_UINT32:
                raise ValueError(f"{field}: {getattr(self, field)} is not in 0.001..{MAX_UINT32}")
        if self.message_timeout_seconds > self.max_message_timeout_seconds:
            raise ValueError(
                "max_message_timeout_seconds: is below message_timeout_seconds "
                f"({self.max_message_timeout_seconds} < {self.message_timeout_seconds})"
            )
        if self.stream_idle_timeout_seconds <= self.max_message_timeout_seconds:
            raise ValueError(
                "stream_idle_timeout_seconds: would end a request that waits in the picker; it "
                f"must be above max_message_timeout_seconds ({self.max_message_timeout_seconds})"
            )


def is_ip_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def split_authority(authority: str) -> tuple[str, int]:
    """The IP literal, without brackets, and the port of an authority. Raises ValueError.

    Names are refused: the load balancer compares picks with IP:port, so whoever names model
    servers resolves them first.
    """
    host, _, port = authority.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    literal = host[1:-1] if bracketed else host
    if not is_ip_literal(literal):
        raise ValueError(f"{authority!r} is not IP:port; resolve a host name first")
    if bracketed != (":" in literal):
        raise ValueError(f"{authority!r} is not IP:port; brackets belong around IPv6 only")
    if not (port.isascii() and port.isdecimal() and 0 < int(port) <= MAX_PORT):
        raise ValueError(f"{authority!r} has no port in 1..{MAX_PORT}")
    return literal, int(port)


def split_name(authority: str) -> tuple[str, int]:
    """The host name and the port of `name:port`. Raises ValueError; IP addresses are refused."""
    host, _, port = authority.rpartition(":")
    if not host or ":" in host or is_ip_literal(host):
        raise ValueError(f"{authority!r} is not name:port")
    if not (port.isascii() and port.isdecimal() and 0 < int(port) <= MAX_PORT):
        raise ValueError(f"{authority!r} has no port in 1..{MAX_PORT}")
    return host, int(port)


def _check_port(field: str, port: int, lowest: int) -> None:
    if not lowest <= port <= MAX_PORT:
        raise ValueError(f"{field}: {port} is not in {lowest}..{MAX_PORT}")
