"""The part of a Kubernetes API server that a watcher sees, on loopback, with faults on demand.

For what a real server does not do when asked: half a line, silence, an expired version just now,
a permission that comes back. What it answers otherwise is checked against a real one by the tests
in `tests/cluster`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import yaml
from aiohttp import web

from epp.simulation.server import ACCEPTED_SECONDS

Fault = Callable[[web.Request], Awaitable[web.StreamResponse | None]]

PODS = "/api/v1/namespaces/ns/pods"
POOLS = "/apis/inference.networking.k8s.io/v1/namespaces/ns/inferencepools"
OBJECTIVES = "/apis/llm-d.ai/v1alpha2/namespaces/ns/inferenceobjectives"
OLD_OBJECTIVES = "/apis/inference.networking.x-k8s.io/v1alpha2/namespaces/ns/inferenceobjectives"


def a_pod(name: str, address: str, *, ready: bool = True, **labels: str) -> dict[str, Any]:
    condition = {"type": "Ready", "status": "True" if ready else "False"}
    return {
        "metadata": {"namespace": "ns", "name": name, "labels": {"app": "m", **labels}},
        "status": {"phase": "Running", "podIP": address, "conditions": [condition]},
    }


def a_pool(*ports: int, **labels: str) -> dict[str, Any]:
    return {
        "metadata": {"namespace": "ns", "name": "pool"},
        "spec": {
            "selector": {"matchLabels": labels or {"app": "m"}},
            "targetPorts": [{"number": port} for port in ports or (8000,)],
        },
    }


def an_objective(name: str, priority: int) -> dict[str, Any]:
    return {
        "metadata": {"namespace": "ns", "name": name},
        "spec": {"priority": priority, "poolRef": {"name": "pool"}},
    }


class ApiServerDouble:
    """Answers a list in pages and a watch from any version for the paths that are `installed`."""

    def __init__(self) -> None:
        self.installed = {PODS, POOLS}
        self.requests: list[web.Request] = []
        self.faults: dict[tuple[str, str], Fault] = {}  # by path and verb: list, watch
        self.everywhere: Fault | None = None
        self.token = "first"
        self._objects: dict[str, dict[str, dict[str, Any]]] = {}
        self._log: list[tuple[int, str, str, dict[str, Any]]] = []
        self._news = asyncio.Condition()
        self._version = 1
        self._runner: web.AppRunner | None = None
        self._port = 0

    async def start(self, port: int = 0) -> None:
        app = web.Application()
        app.router.add_get("/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port or self._port, reuse_address=True)
        await site.start()
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        if self._runner is not None:
            await asyncio.sleep(ACCEPTED_SECONDS)
            await self._runner.cleanup()
            self._runner = None

    def write_kubeconfig(self, folder: Path) -> Path:
        path = folder / "kubeconfig"
        server = f"http://127.0.0.1:{self._port}"
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": server}}],
            "users": [{"name": "u", "user": {"token": self.token}}],
        }
        path.write_text(yaml.safe_dump(document))
        return path

    async def put(self, path: str, item: dict[str, Any]) -> None:
        name = item["metadata"]["name"]
        kind = "MODIFIED" if name in self._objects.setdefault(path, {}) else "ADDED"
        await self._record(path, kind, item)
        self._objects[path][name] = self._log[-1][3]

    async def remove(self, path: str, name: str) -> None:
        await self._record(path, "DELETED", self._objects[path].pop(name))

    def asked(self, path: str, verb: str) -> int:
        """How often."""
        return sum(r.path == path and _verb(r) == verb for r in self.requests)

    async def _record(self, path: str, kind: str, item: dict[str, Any]) -> None:
        async with self._news:
            self._version += 1
            stamped = {**item, "metadata": {**item["metadata"]}}
            stamped["metadata"]["resourceVersion"] = str(self._version)
            self._log.append((self._version, path, kind, stamped))
            self._news.notify_all()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        fault = self.everywhere or self.faults.get((request.path, _verb(request)))
        if fault is not None and (response := await fault(request)) is not None:
            return response
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            return status(401, "Unauthorized")
        if request.path not in self.installed:
            return status(404, "the server could not find the requested resource")
        return await (self._watch(request) if _verb(request) == "watch" else self._list(request))

    async def _list(self, request: web.Request) -> web.Response:
        items = [i for i in self._objects.get(request.path, {}).values() if _selected(request, i)]
        start, limit = int(request.query.get("continue", "0")), int(request.query["limit"])
        metadata = {"resourceVersion": str(self._version)}
        if start + limit < len(items):
            metadata["continue"] = str(start + limit)
        body = {"metadata": metadata, "items": items[start : start + limit]}
        return web.Response(body=orjson.dumps(body))

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        version = int(request.query["resourceVersion"])
        while True:
            for number, path, kind, item in list(self._log):
                if number > version and path == request.path and _selected(request, item):
                    line = orjson.dumps({"type": kind, "object": item}) + b"\n"
                    # As it can come over a network: in two pieces.
                    await response.write(line[:20])
                    await response.write(line[20:])
                version = max(version, number)
            async with self._news:
                while self._version <= version:
                    await self._news.wait()


def _verb(request: web.Request) -> str:
    return "watch" if request.query.get("watch") == "true" else "list"


def _selected(request: web.Request, item: dict[str, Any]) -> bool:
    wanted = [part.split("=") for part in request.query.get("labelSelector", "").split(",") if part]
    labels = item["metadata"].get("labels", {})
    return all(labels.get(key) == value for key, value in wanted)


def status(code: int, message: str, reason: str = "") -> web.Response:
    body = {"kind": "Status", "code": code, "message": message, "reason": reason}
    return web.Response(status=code, body=orjson.dumps(body))


def once(answer: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> Fault:
    """The fault for the first request, then none."""
    calls = iter([answer])

    async def fault(request: web.Request) -> web.StreamResponse | None:
        first = next(calls, None)
        return None if first is None else await first(request)

    return fault


def always(code: int, message: str) -> Fault:
    async def fault(_request: web.Request) -> web.StreamResponse | None:
        return status(code, message)

    return fault


@asynccontextmanager
async def running_api_server() -> AsyncIterator[ApiServerDouble]:
    server = ApiServerDouble()
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
