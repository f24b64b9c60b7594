"""Single calls to the API server, in JSON without models, over the official client's connection."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
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
RENEWAL_SECONDS = 5.0  # credentials are not read again more often


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
        self._connection: _Connection | None = None
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
        """When no call runs any more."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.client.close()

    async def _call(self, method: str, path: str, body: object) -> Answer:
        """A refusal of our credentials is a reason to read them again, once: they are renewed."""
        async with self._connected() as connection:
            answer = await _exchange(connection.client, method, path, body)
        if answer.status != 401:
            return answer
        await self._retire(connection)
        async with self._connected() as connection:
            return await _exchange(connection.client, method, path, body)

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator[_Connection]:
        """One that is replaced meanwhile is closed by its last user."""
        async with self._connecting:
            if self._connection is None:
                self._connection = _Connection(await self._factory(), _loop_time())
            connection = self._connection
        connection.users += 1
        try:
            yield connection
        finally:
            connection.users -= 1
            if connection is not self._connection and not connection.users:
                await connection.client.close()

    async def _retire(self, refused: _Connection) -> None:
        """The next call makes a new one. Another call may have done it already."""
        if self._connection is not refused or _loop_time() - refused.made_at < RENEWAL_SECONDS:
            return
        self._connection = None
        if not refused.users:
            await refused.client.close()


@dataclass(slots=True, eq=False)
class _Connection:
    client: Any
    made_at: float  # by the clock of the loop
    users: int = 0


def _loop_time() -> float:
    return asyncio.get_running_loop().time()


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
