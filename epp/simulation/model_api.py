"""The HTTP routes of one simulated model server, as vLLM 0.32 has them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from random import Random

import orjson
from aiohttp import web

from epp.simulation import openai_answers, openai_requests
from epp.simulation.controls import Controls
from epp.simulation.engine import Engine, Step
from epp.simulation.engine_metrics import EngineMetrics
from epp.simulation.exposition import render
from epp.simulation.http_metrics import HttpMetrics
from epp.simulation.inference import Inference
from epp.simulation.openai_requests import ApiError
from epp.simulation.runtime import EngineRuntime
from epp.simulation.settings import ServerSettings
from epp.simulation.vllm_page import VllmPage

MAX_BODY_BYTES = 64 * 1024 * 1024
VERSION = "0.32.0"  # of the server that is imitated
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_UNCOUNTED_PREFIXES = ("/sim/", "/metrics", "/health", "/ping", "/load", "/version")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ModelApi:
    """Routes, engines and counters of one server. Made inside a running loop."""

    def __init__(self, settings: ServerSettings) -> None:
        self._settings = settings
        self._context_tokens = settings.context_tokens
        self._started_unix = time.time()
        self._http = HttpMetrics()
        engine = settings.engine()
        self._ranks = [
            (
                Engine(engine, Random(f"{settings.seed}/{rank}")),
                EngineMetrics(self._context_tokens, settings.speed),
            )
            for rank in range(settings.data_parallel_size)
        ]
        self._page = VllmPage(
            self._ranks,
            model_name=settings.models[0],
            max_model_len_tokens=self._context_tokens,
            created=self._started_unix,
        )
        engines = [engine for engine, _ in self._ranks]
        self._runtime = EngineRuntime(engines, settings.speed, self._stepped)
        self._controls = Controls(settings.name, self._runtime, self._ranks, self._page)
        self._inference = Inference(settings, engines, self._runtime, self._page, self._controls)

    def application(self) -> web.Application:
        app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[self._observe])
        app.add_routes(
            [
                *self._inference.routes(),
                web.post("/tokenize", self._tokenize),
                web.get("/v1/models", self._models),
                web.get("/health", self._well),
                web.get("/ping", self._well),
                web.post("/ping", self._well),
                web.get("/version", self._version),
                web.get("/load", self._load),
                web.get("/metrics", self._metrics),
                web.get("/metrics/", self._chosen_metrics),
                *self._controls.routes(),
            ]
        )
        app.on_response_prepare.append(self._sign)
        app.on_shutdown.append(self._stop)
        return app

    def _stepped(self, rank: int, step: Step) -> None:
        engine, metrics = self._ranks[rank]
        metrics.record(step)
        if self._settings.adapters:
            self._page.note_adapters(engine.gauges.adapters, time.time())

    async def _sign(self, _: web.Request, response: web.StreamResponse) -> None:
        response.headers["x-served-by"] = self._settings.name

    async def _stop(self, _: web.Application) -> None:
        """Running streams end at once, cleanly but unfinished, as when vLLM gets SIGTERM."""
        self._runtime.close()

    @web.middleware
    async def _observe(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        loop = asyncio.get_running_loop()
        started = loop.time()
        resource = request.match_info.route.resource
        counted = not request.path.startswith(_UNCOUNTED_PREFIXES)
        try:
            if counted:
                self._controls.note(request, await request.read())
            response = await handler(request)
        except ApiError as error:
            response = _error(error)
        except web.HTTPException as error:
            kind = "NotFoundError" if error.status == HTTPStatus.NOT_FOUND else error.reason
            response = _error(ApiError(error.status, kind, error.reason))
        if counted and resource is not None:
            self._http.record(
                resource.canonical,
                request.method,
                response.status,
                request_bytes=request.content_length or 0,
                response_bytes=response.content_length or 0,
                seconds=loop.time() - started,
            )
        return response

    async def _tokenize(self, request: web.Request) -> web.Response:
        document = openai_requests.decode_object(await request.read())
        if "messages" in document:
            ids = openai_requests.chat_tokens(document)
        else:
            ids = openai_requests.prompt_tokens(document)
        return _json(
            {"count": len(ids), "max_model_len": self._context_tokens, "tokens": list(ids)}
        )

    async def _models(self, _: web.Request) -> web.Response:
        settings = self._settings
        body = openai_answers.models_body(
            settings.models, settings.adapters, self._context_tokens, int(time.time())
        )
        return web.Response(body=body, content_type="application/json")

    async def _well(self, _: web.Request) -> web.Response:
        return web.Response()

    async def _version(self, _: web.Request) -> web.Response:
        return _json({"version": VERSION})

    async def _load(self, _: web.Request) -> web.Response:
        return _json({"server_load": self._inference.in_flight})

    async def _metrics(self, _: web.Request) -> web.Response:
        return self._metrics_page(None)

    async def _chosen_metrics(self, request: web.Request) -> web.Response:
        """Only the path with the slash heeds `name[]`, as in vLLM."""
        names = request.query.getall("name[]", [])
        return self._metrics_page(frozenset(names) if names else None)

    def _metrics_page(self, names: frozenset[str] | None) -> web.Response:
        sections = [*self._page.sections(), self._http.section(self._started_unix)]
        return web.Response(body=render(sections, names), headers={"content-type": METRICS_TYPE})


def _error(error: ApiError) -> web.Response:
    return web.Response(status=error.status, body=error.body(), content_type="application/json")


def _json(document: object) -> web.Response:
    return web.Response(body=orjson.dumps(document), content_type="application/json")
