"""Single calls to the API server, in JSON without models, over the official client's connection."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson

from epp.datalayer.discovery.kubernetes.client import ClusterConfigError

# Gives a `kubernetes.aio.client.ApiClient`; raises ClusterConfigError. The client is typed in part.
ClientFactory = Callable[[], Awaitable[Any]]

CALL_SECONDS = 4.0
ATTEMPTS = 2  # an idle connection may be closed just when it is used
RETRY_SECONDS = (0.05, 0.2)


class ApiUnavailable(Exception):
    """No answer: the server is away, too slow, or the way to it is not configured."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int  # of HTTP
    document: Mapping[str, Any]  # empty where the body is no JSON object

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300

    @property
    def text(self) -> str:
        """What the server says of a refusal."""
        return (
            f"{self.status} {self.document.get('reason', '')}: {self.document.get('message', '')}"
        )


class KubernetesApi:
    """Calls may run side by side. They share one client, made at the first of them."""

    def __init__(
        self,
        factory: ClientFactory,
        rng: random.Random,
        *,
        call_seconds: float = CALL_SECONDS,
        attempts: int = ATTEMPTS,
    ) -> None:
        self._factory = factory
        self._rng = rng
        self._call_seconds = call_seconds
        self._attempts = attempts
        self._client: Any = None
        self._connecting = asyncio.Lock()

    async def call(self, method: str, path: str, body: object = None) -> Answer:
        """Any status is an answer. Raises ApiUnavailable, after `attempts` calls at the most."""
        error = ""
        for attempt in range(1, self._attempts + 1):
            try:
                async with asyncio.timeout(self._call_seconds):
                    return await self._call(method, path, body)
            except TimeoutError:
                error = f"no answer in {self._call_seconds:g} s"
            except (OSError, aiohttp.ClientError, ClusterConfigError) as raised:
                error = str(raised) or type(raised).__name__
            if attempt < self._attempts:
                await asyncio.sleep(self._rng.uniform(*RETRY_SECONDS))
        raise ApiUnavailable(f"{method} {path}: {error}")

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def _call(self, method: str, path: str, body: object) -> Answer:
        """A refusal of our credentials is a reason to read them again, once: they are renewed."""
        client = await self._connected()
        answer = await _exchange(client, method, path, body)
        if answer.status == 401:
            await self._reconnect(client)
            answer = await _exchange(await self._connected(), method, path, body)
        return answer

    async def _connected(self) -> Any:
        async with self._connecting:
            if self._client is None:
                self._client = await self._factory()
            return self._client

    async def _reconnect(self, refused: Any) -> None:
        """Another call may have done it already."""
        async with self._connecting:
            if self._client is refused:
                self._client = await self._factory()
                await refused.close()


async def _exchange(client: Any, method: str, path: str, body: object) -> Answer:
    try:
        method, url, headers, content, form = await client.param_serialize(
            method,
            path,
            header_params={"Accept": "application/json"},
            body=body,
            auth_settings=["BearerToken"],
        )
    except Exception as error:  # token files and plug-ins of users fail in ways of their own
        raise ClusterConfigError(f"credentials: {error}") from error
    try:
        response = await client.call_api(method, url, headers, content, form)
    except RuntimeError as error:  # aiohttp's word for a session that is closed meanwhile
        raise ConnectionError(str(error)) from error
    return Answer(response.status, _object(await response.read()))


def _object(data: bytes) -> Mapping[str, Any]:
    try:
        document = orjson.loads(data)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
