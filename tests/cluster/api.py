"""The Kubernetes API as tests use it: JSON in, JSON out, as the administrator or another user."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import aiohttp

TIMEOUT_SECONDS = 20.0
AT_ONCE = 50  # calls under way

Object = dict[str, Any]


class ApiRefused(Exception):
    """An answer other than 2xx, with the server's message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        self.message = message


@dataclass(frozen=True, slots=True)
class Kind:
    """What the path of an object is made of."""

    api_version: str  # `v1`, `apps/v1`
    name: str  # `Pod`
    namespaced: bool = True

    @property
    def plural(self) -> str:
        return f"{self.name.lower()}s"

    def path(self, namespace: str, name: str = "", subresource: str = "") -> str:
        root = "apis" if "/" in self.api_version else "api"
        scope = f"/namespaces/{namespace}" if self.namespaced else ""
        tail = "".join(f"/{part}" for part in (name, subresource) if part)
        return f"/{root}/{self.api_version}{scope}/{self.plural}{tail}"

    def of(self, name: str, **fields: object) -> Object:
        """An object of this kind; `metadata` among the fields is added to."""
        metadata = {**fields.pop("metadata", {}), "name": name}  # type: ignore[dict-item]
        return {"apiVersion": self.api_version, "kind": self.name, "metadata": metadata, **fields}


NAMESPACE = Kind("v1", "Namespace", namespaced=False)
POD = Kind("v1", "Pod")
SERVICE_ACCOUNT = Kind("v1", "ServiceAccount")
LEASE = Kind("coordination.k8s.io/v1", "Lease")
ROLE = Kind("rbac.authorization.k8s.io/v1", "Role")
ROLE_BINDING = Kind("rbac.authorization.k8s.io/v1", "RoleBinding")
CLUSTER_ROLE = Kind("rbac.authorization.k8s.io/v1", "ClusterRole", namespaced=False)
CLUSTER_ROLE_BINDING = Kind("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", namespaced=False)
CRD = Kind("apiextensions.k8s.io/v1", "CustomResourceDefinition", namespaced=False)
POOL = Kind("inference.networking.k8s.io/v1", "InferencePool")
OBJECTIVE = Kind("llm-d.ai/v1alpha2", "InferenceObjective")
REWRITE = Kind("llm-d.ai/v1alpha2", "InferenceModelRewrite")
OLD_OBJECTIVE = Kind("inference.networking.x-k8s.io/v1alpha2", "InferenceObjective")
MODEL = Kind("inference.networking.x-k8s.io/v1alpha2", "InferenceModel")
OLD_REWRITE = Kind("inference.networking.x-k8s.io/v1alpha2", "InferenceModelRewrite")


class Api:
    """Raises ApiRefused for what the server refuses; aiohttp.ClientError if it is away."""

    def __init__(self, url: str, context: ssl.SSLContext, token: str = "") -> None:
        self._url = url
        self._context = context
        self._token = token
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            self._url,
            connector=aiohttp.TCPConnector(ssl=self._context),
            headers={"Authorization": f"Bearer {self._token}"} if self._token else {},
            timeout=aiohttp.ClientTimeout(TIMEOUT_SECONDS),
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def create(self, body: Object, namespace: str = "") -> Object:
        """Its path follows from its kind; without a namespace it is cluster-wide."""
        kind = Kind(body["apiVersion"], body["kind"], namespaced=bool(namespace))
        return await self.call("POST", kind.path(namespace), body)

    async def get(self, kind: Kind, name: str, namespace: str = "") -> Object:
        return await self.call("GET", kind.path(namespace, name))

    async def list(self, kind: Kind, namespace: str = "") -> Object:
        """The list object: `items`, and `metadata.resourceVersion` to watch from."""
        return await self.call("GET", kind.path(namespace))

    async def patch(
        self,
        kind: Kind,
        name: str,
        body: Mapping[str, object],
        namespace: str = "",
        subresource: str = "",
    ) -> Object:
        """A merge patch: null removes, a list replaces the whole list."""
        path = kind.path(namespace, name, subresource)
        return await self.call("PATCH", path, body, "application/merge-patch+json")

    async def delete(
        self, kind: Kind, name: str, namespace: str = "", grace_seconds: int | None = None
    ) -> None:
        options = {} if grace_seconds is None else {"gracePeriodSeconds": grace_seconds}
        await self.call("DELETE", kind.path(namespace, name), options)

    async def watch_from(self, kind: Kind, resource_version: str, namespace: str = "") -> Object:
        """The first event of a watch. Raises TimeoutError if there is none."""
        query = f"?watch=true&resourceVersion={resource_version}&timeoutSeconds=5"
        assert self._session is not None
        async with self._session.get(kind.path(namespace) + query) as answer:
            async for line in answer.content:
                found: Object = json.loads(line)
                return found
        raise TimeoutError(f"a watch of {kind.plural} from {resource_version} tells nothing")

    async def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | None = None,
        content_type: str = "application/json",
    ) -> Object:
        found: Object = json.loads(await self.text(method, path, body, content_type))
        return found

    async def text(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | None = None,
        content_type: str = "application/json",
    ) -> str:
        """Of an answer that is perhaps no JSON, such as a log."""
        assert self._session is not None
        data = None if body is None else json.dumps(body)
        headers = {} if body is None else {"Content-Type": content_type}
        async with self._session.request(method, path, data=data, headers=headers) as answer:
            text = await answer.text()
        if answer.status >= 300:
            raise ApiRefused(answer.status, _message(text))
        return text


async def each(items: Sequence[int], call: Callable[[int], Awaitable[object]]) -> None:
    """Calls it with all of them, some at a time."""
    for begin in range(0, len(items), AT_ONCE):
        await asyncio.gather(*(call(item) for item in items[begin : begin + AT_ONCE]))


def _message(text: str) -> str:
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        return text[:500]
