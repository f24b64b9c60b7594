"""The HTTP side of explaining: a request to try, or a recent decision by its request id.

Nothing that is sent here is kept, and nothing that is decided here happens.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from epp.core.json_text import dumps

MAX_BODY_BYTES: Final = 4 << 20

# Makes the JSON of an explanation; may be called on another thread.
Render = Callable[[], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class TriedRequest:
    """A request as a gateway would show it."""

    path: str
    headers: Mapping[str, str]  # names in lower case
    body: bytes
    subset: frozenset[str] | None  # the gateway's hint
    takes_lists: bool


@dataclass(frozen=True, slots=True)
class Explainer:
    """Called on the event loop."""

    try_request: Callable[[TriedRequest], Render]
    recall: Callable[[str], Render | None]  # by request id; None if it is not among the recent ones

    async def post(self, request: web.Request) -> web.Response:
        """The body is that of the request to try; path and the gateway's hints are parameters."""
        body = await _capped(request)
        if body is None:
            text = f"the body has more than {MAX_BODY_BYTES} bytes\n"
            return web.Response(status=413, text=text)
        subset = request.query.get("subset")
        tried = TriedRequest(
            path=request.query.get("path", "/v1/chat/completions"),
            headers={name.lower(): value for name, value in request.headers.items()},
            body=body,
            subset=None if subset is None else frozenset(_words(subset)),
            takes_lists=request.query.get("lists", "") == "true",
        )
        return await _rendered(self.try_request(tried))

    async def get(self, request: web.Request) -> web.Response:
        render = self.recall(request.match_info["request_id"])
        if render is None:
            return web.Response(status=404, text="not among the recent decisions\n")
        return await _rendered(render)


async def _capped(request: web.Request) -> bytes | None:
    """None if it is longer."""
    body = bytearray()
    async for piece in request.content.iter_any():
        body += piece
        if len(body) > MAX_BODY_BYTES:
            return None
    return bytes(body)


def _words(text: str) -> list[str]:
    return [word for part in text.split(",") if (word := part.strip())]


async def _rendered(render: Render) -> web.Response:
    body = await asyncio.to_thread(lambda: dumps(render()))
    return web.Response(body=body, content_type="application/json")
