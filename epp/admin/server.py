"""The admin HTTP server. Read-only, and every answer is bounded in size and in time on the loop."""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from importlib.resources import files

from aiohttp import web
from prometheus_client.core import Metric

from epp.admin.access.gate import AccessGate
from epp.admin.access.verdicts import Verdict
from epp.admin.explaining import Explainer
from epp.admin.exposition import CONTENT_TYPE, render
from epp.core.json_text import dumps

MAX_REQUEST_BYTES = 64 * 1024
PAGE = files("epp.admin").joinpath("status.html").read_text(encoding="utf-8")
PAGE_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; "
        "connect-src 'self'"
    )
}

Handler = Callable[[web.Request], Awaitable[web.Response]]


@dataclass(frozen=True, slots=True)
class AdminSettings:
    host: str = "0.0.0.0"
    port: int = 9090  # 0: any free one


@dataclass(frozen=True, slots=True)
class AdminAccess:
    """Who is let in: to the port, by TLS, and to the metrics page, by a token."""

    tls: ssl.SSLContext | None = None  # None: plain HTTP
    metrics_gate: AccessGate | None = None  # None: everyone who reaches the port


@dataclass(frozen=True, slots=True)
class AdminViews:
    """What the pages show. Called on the event loop, for each request."""

    metrics: Callable[[], Iterable[Metric]]
    ready: Callable[[], bool]
    status: Callable[[], dict[str, object]] | None = None  # None: no status page
    explainer: Explainer | None = None  # None: nothing is decided here


class AdminServer:
    def __init__(
        self, settings: AdminSettings, views: AdminViews, access: AdminAccess | None = None
    ) -> None:
        self._settings = settings
        self._access = access or AdminAccess()
        self._views = views
        self._runner: web.AppRunner | None = None

    async def start(self) -> int:
        """Returns the port. Raises OSError with the address when it cannot listen."""
        app = web.Application(client_max_size=MAX_REQUEST_BYTES)
        app.router.add_get("/metrics", self._metrics)
        if self._views.status is not None:
            app.router.add_get("/", _on_loopback(self._page))
            app.router.add_get("/status.json", _on_loopback(self._status))
        if (explainer := self._views.explainer) is not None:
            app.router.add_post("/explain", _on_loopback(explainer.post))
            app.router.add_get("/explain/{request_id}", _on_loopback(explainer.get))
        app.router.add_get("/livez", self._live)
        app.router.add_get("/healthz", self._ready)
        app.router.add_get("/readyz", self._ready)
        self._runner = web.AppRunner(
            app, access_log=None, handle_signals=False, shutdown_timeout=1.0
        )
        await self._runner.setup()
        site = web.TCPSite(
            self._runner, self._settings.host, self._settings.port, ssl_context=self._access.tls
        )
        await site.start()
        address = self._runner.addresses[0]
        return int(address[1])

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _metrics(self, request: web.Request) -> web.StreamResponse:
        gate = self._access.metrics_gate
        if gate is not None:
            verdict = await gate.check(request.headers.get("authorization"))
            if not verdict.allowed:
                return _refusal(verdict)
        response = web.StreamResponse(headers={"content-type": CONTENT_TYPE})
        await response.prepare(request)
        for piece in render(self._views.metrics()):
            await response.write(piece)
            await asyncio.sleep(0)  # requests go between two pieces
        await response.write_eof()
        return response

    async def _live(self, _request: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def _ready(self, _request: web.Request) -> web.Response:
        if self._views.ready():
            return web.Response(text="ok\n")
        return web.Response(status=503, text="not ready\n")

    async def _page(self, _request: web.Request) -> web.Response:
        return web.Response(text=PAGE, content_type="text/html", headers=PAGE_HEADERS)

    async def _status(self, _request: web.Request) -> web.Response:
        assert self._views.status is not None
        body = dumps(self._views.status())
        return web.Response(body=body, content_type="application/json")


def _refusal(verdict: Verdict) -> web.Response:
    headers = {"www-authenticate": "Bearer"} if verdict.status == 401 else {}
    return web.Response(status=verdict.status, text=f"{verdict.text}\n", headers=headers)


def _on_loopback(handler: Handler) -> Handler:
    """What requests did is not for everyone who can reach the metrics."""

    async def guarded(request: web.Request) -> web.Response:
        if not ipaddress.ip_address(request.remote or "0.0.0.0").is_loopback:
            return web.Response(status=403, text="only from this machine: use a port-forward\n")
        return await handler(request)

    return guarded
