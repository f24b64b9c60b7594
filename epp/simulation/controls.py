"""Test controls of a simulated server under `/sim/`. No real model server has these routes.

POST /sim/pause and /sim/resume freeze and free the engines; POST /sim/fail {"status", "times"}
answers the next inference requests with an error; GET /sim/stats and /sim/requests look inside.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Sequence
from http import HTTPStatus

import orjson
from aiohttp import web

from epp.simulation.openai_requests import ApiError, bad_request, decode_object
from epp.simulation.runtime import EngineRuntime
from epp.simulation.vllm_page import Rank, VllmPage

KEPT_REQUESTS = 256


class Controls:
    """State of the test controls of one server."""

    def __init__(
        self, name: str, runtime: EngineRuntime, ranks: Sequence[Rank], page: VllmPage
    ) -> None:
        self._name = name
        self._runtime = runtime
        self._ranks = ranks
        self._page = page
        self._fail_status = 0
        self._fail_times = 0
        self._requests: deque[dict[str, object]] = deque(maxlen=KEPT_REQUESTS)

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/sim/pause", self._pause),
            web.post("/sim/resume", self._resume),
            web.post("/sim/fail", self._fail),
            web.get("/sim/stats", self._stats),
            web.get("/sim/requests", self._seen),
        ]

    def note(self, request: web.BaseRequest, body: bytes) -> None:
        """Keep what can be told of a request without keeping its body."""
        head = [
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in request.raw_headers
        ]
        self._requests.append(
            {
                "method": request.method,
                "path": request.path_qs,
                "headers": head,
                "body_bytes": len(body),
                "body_sha256": hashlib.sha256(body).hexdigest(),
            }
        )

    def raise_planned_failure(self) -> None:
        """Use up one of the failures that were asked for, if any is left."""
        if self._fail_times:
            self._fail_times -= 1
            status = HTTPStatus(self._fail_status)
            raise ApiError(status, status.phrase, "failure asked for through /sim/fail")

    async def _pause(self, _: web.Request) -> web.Response:
        self._runtime.pause()
        return _json({"paused": True})

    async def _resume(self, _: web.Request) -> web.Response:
        self._runtime.resume()
        return _json({"paused": False})

    async def _fail(self, request: web.Request) -> web.Response:
        document = decode_object(await request.read())
        status, times = document.get("status"), document.get("times", 1)
        errors = [code.value for code in HTTPStatus if code >= HTTPStatus.BAD_REQUEST]
        if status not in errors or type(status) is not int:
            raise bad_request("status must be a known HTTP error status", "status")
        if type(times) is not int or times < 0:
            raise bad_request("times must be an integer of at least 0", "times")
        self._fail_status, self._fail_times = status, times
        return _json({"status": status, "times": times})

    async def _stats(self, _: web.Request) -> web.Response:
        ranks = [
            {
                "running": engine.running,
                "waiting": engine.waiting,
                "kv_cache_usage": engine.kv_cache_usage,
                "steps": metrics.steps,
                "prompt_tokens": metrics.prompt_tokens,
                "cached_tokens": metrics.cached_tokens,
                "generation_tokens": metrics.generation_tokens,
                "preemptions": metrics.preemptions,
                "finished": metrics.finished,
            }
            for engine, metrics in self._ranks
        ]
        return _json(
            {
                "name": self._name,
                "paused": self._runtime.paused,
                "live": self._runtime.live,
                "aborted": self._runtime.aborted,
                "queue_rejections": self._page.queue_rejections,
                "planned_failures": self._fail_times,
                "ranks": ranks,
            }
        )

    async def _seen(self, _: web.Request) -> web.Response:
        return _json({"requests": list(self._requests)})


def _json(document: object) -> web.Response:
    return web.Response(body=orjson.dumps(document), content_type="application/json")
