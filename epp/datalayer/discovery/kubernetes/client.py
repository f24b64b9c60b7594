"""The connection to the API server: the official client for configuration, TLS and credentials.

Answers are taken as bytes. The client's models would cost milliseconds an object, and its watch
hides that a version has expired.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import os
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Final

import aiohttp

from epp.datalayer.discovery.kubernetes.answers import (
    Failure,
    FailureKind,
    Garbage,
    LineSplitter,
    read_failure,
)

log = logging.getLogger(__name__)

USER_AGENT: Final = "epp"
SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
CONNECT_SECONDS: Final = 10.0
ANSWER_SECONDS: Final = 30.0
WATCH_GRACE_SECONDS: Final = 15.0  # for the server to end a watch itself
MAX_ANSWER_BYTES: Final = 64 << 20
MAX_LINE_BYTES: Final = 8 << 20  # etcd takes objects of 1.5 MB
RENEWAL_SECONDS: Final = 5.0  # credentials are not read more often


class ClusterConfigError(Exception):
    """No API server can be spoken to with what is configured. For the user to see."""


class ApiError(Exception):
    """A request failed; `failure` says how."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.detail)
        self.failure = failure


async def connect(kubeconfig: Path | None) -> Any:
    """A `kubernetes.aio.client.ApiClient`, to be closed by the caller. Raises ClusterConfigError.

    Without a path: $KUBECONFIG, else the service account of the pod, else ~/.kube/config.
    """
    try:
        client = importlib.import_module("kubernetes.aio.client")
        config = importlib.import_module("kubernetes.aio.config")
    except ImportError as error:
        raise ClusterConfigError(
            f"the Kubernetes client is not installed ({error}): pip install 'epp[kubernetes]'"
        ) from None
    settings = client.Configuration()
    where = _where(kubeconfig)
    try:
        if where == str(SERVICE_ACCOUNT):
            config.load_incluster_config(client_configuration=settings)
        else:
            await config.load_kube_config(config_file=where, client_configuration=settings)
        api = client.ApiClient(settings)
    except (TypeError, AttributeError) as error:  # the client reads it as what it should be
        raise ClusterConfigError(f"{where} is not a kubeconfig: {_text(error)}") from error
    except Exception as error:  # a configuration can be wrong in many ways: YAML, files, TLS
        problem = f"configuration of the Kubernetes client, {where}: {_text(error)}"
        raise ClusterConfigError(problem) from error
    api.user_agent = USER_AGENT
    return api


def _where(kubeconfig: Path | None) -> str:
    """Path of the service account or of a kubeconfig; of several, as the client joins them."""
    given = str(kubeconfig) if kubeconfig is not None else os.environ.get("KUBECONFIG", "")
    if not given and (SERVICE_ACCOUNT / "token").exists():
        return str(SERVICE_ACCOUNT)
    paths = [Path(part).expanduser() for part in (given or "~/.kube/config").split(os.pathsep)]
    if not any(path.exists() for path in paths):
        hint = "" if given else "; this is no pod, so --kubeconfig or KUBECONFIG is needed"
        raise ClusterConfigError(f"kubeconfig: no such file: {given or '~/.kube/config'}{hint}")
    return os.pathsep.join(map(str, paths))


class ApiServer:
    """Raises ApiError for every failure of a request, whatever its form."""

    def __init__(self, kubeconfig: Path | None) -> None:
        self._kubeconfig = kubeconfig
        self._api: Any = None
        self._connecting = asyncio.Lock()
        self._renewed_at = 0.0

    async def open(self) -> None:
        """Raises ClusterConfigError."""
        self._api = await connect(self._kubeconfig)
        self._renewed_at = asyncio.get_running_loop().time()

    async def close(self) -> None:
        api, self._api = self._api, None
        if api is not None:
            await api.close()

    async def renew(self) -> None:
        """Read configuration and credentials again: they may have been replaced on disk.

        Watches that run are cut off, and come back with the new credentials.
        """
        async with self._connecting:
            now = asyncio.get_running_loop().time()
            if now - self._renewed_at < RENEWAL_SECONDS:
                return
            self._renewed_at = now
            try:
                fresh = await connect(self._kubeconfig)
            except ClusterConfigError as error:
                raise ApiError(Failure(FailureKind.UNREACHABLE, str(error))) from error
            await self.close()
            self._api = fresh

    async def get(self, path: str, query: Mapping[str, str]) -> bytes:
        timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS, sock_connect=CONNECT_SECONDS)
        async with self._request(path, query, timeout) as response:
            return await _body(response)

    @contextlib.asynccontextmanager
    async def watch(
        self, path: str, query: Mapping[str, str], seconds: float
    ) -> AsyncIterator[AsyncIterator[list[bytes]]]:
        """Lines as they come, until the server ends the watch or is silent for too long.

        Leaving the block by any way closes the connection.
        """
        timeout = aiohttp.ClientTimeout(
            total=seconds + WATCH_GRACE_SECONDS, sock_connect=CONNECT_SECONDS
        )
        asked = {**query, "watch": "true", "timeoutSeconds": str(round(seconds))}
        async with self._request(path, asked, timeout) as response:
            _keep_alive(response)
            async with contextlib.aclosing(_lines(response)) as lines:
                yield lines

    @contextlib.asynccontextmanager
    async def _request(
        self, path: str, query: Mapping[str, str], timeout: aiohttp.ClientTimeout
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        try:
            answer = await self._send(path, query, timeout)
            async with answer.response as response:
                if response.status != 200:
                    body = await _body(response)
                    retry_after = response.headers.get("Retry-After", "")
                    raise ApiError(read_failure(response.status, body, retry_after))
                yield response
        except (aiohttp.ClientError, OSError, TimeoutError, Garbage) as error:
            raise ApiError(Failure(FailureKind.UNREACHABLE, _text(error))) from error

    async def _send(
        self, path: str, query: Mapping[str, str], timeout: aiohttp.ClientTimeout
    ) -> Any:
        api = self._api
        try:
            method, url, headers, *_ = await api.param_serialize(
                "GET",
                path,
                query_params=list(query.items()),
                # Compressing five megabytes of a list costs both sides more than sending them.
                header_params={"Accept": "application/json", "Accept-Encoding": "identity"},
                auth_settings=["BearerToken"],
            )
        except Exception as error:  # token files and plug-ins of users fail in ways of their own
            detail = f"credentials: {_text(error)}"
            raise ApiError(Failure(FailureKind.UNAUTHORIZED, detail)) from error
        try:
            return await api.call_api(method, url, headers, _request_timeout=timeout)
        except (RuntimeError, AssertionError) as error:  # a session that `renew` has closed
            raise ApiError(Failure(FailureKind.UNREACHABLE, _text(error))) from error


async def _body(response: aiohttp.ClientResponse) -> bytes:
    pieces: list[bytes] = []
    size = 0
    async for piece in response.content.iter_any():
        size += len(piece)
        if size > MAX_ANSWER_BYTES:
            raise Garbage(f"an answer of more than {MAX_ANSWER_BYTES} bytes")
        pieces.append(piece)
    return b"".join(pieces)


async def _lines(response: aiohttp.ClientResponse) -> AsyncGenerator[list[bytes], None]:
    """Whole lines only: what a broken connection left of one is dropped.

    A connection that breaks or is silent for too long ends the watch like the server does: whether
    the server can be reached shows when it is asked again.
    """
    splitter = LineSplitter(MAX_LINE_BYTES)
    try:
        async for piece in response.content.iter_any():
            if lines := splitter.feed(piece):
                yield lines
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        log.debug("a watch broke: %s", _text(error))


def _keep_alive(response: aiohttp.ClientResponse) -> None:
    """A peer that vanished without a word is noticed in a minute, not at the end of the watch."""
    transport = response.connection.transport if response.connection is not None else None
    peer = transport.get_extra_info("socket") if transport is not None else None
    if peer is None:
        return
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, option):
            peer.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


def _text(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
