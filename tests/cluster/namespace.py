"""One namespace of one test: the pool, its Pods, objectives and rewrites, and who reads them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from tests.cluster.accounts import PICKER_RULES, Account
from tests.cluster.api import NAMESPACE, POD, POOL, Api, Kind, Object
from tests.cluster.objects import a_pod, a_pool, pod_status


class Namespace:
    def __init__(self, api: Api, name: str) -> None:
        self.api = api
        self.name = name

    async def create(self) -> None:
        await self.api.create(NAMESPACE.of(self.name))

    async def delete(self) -> None:
        """Its objects stay, as there is no controller manager: they are in nobody's way."""
        await self.api.delete(NAMESPACE, self.name)

    async def account(self, rules: Sequence[Object] = PICKER_RULES, name: str = "epp") -> Account:
        account = Account(self.api, self.name, name)
        await account.create(rules)
        return account

    async def apply(self, body: Object) -> Object:
        """Creates any object here."""
        return await self.api.create(body, self.name)

    async def patch(
        self, kind: Kind, name: str, body: Mapping[str, object], subresource: str = ""
    ) -> Object:
        return await self.api.patch(kind, name, body, self.name, subresource)

    async def delete_object(self, kind: Kind, name: str) -> None:
        await self.api.delete(kind, name, self.name)

    async def create_pool(
        self,
        name: str = "pool",
        *,
        ports: Sequence[int] = (8000,),
        labels: Mapping[str, str] | None = None,
    ) -> Object:
        return await self.apply(a_pool(name, ports=ports, labels=labels))

    async def patch_pool(self, spec: Mapping[str, object], name: str = "pool") -> Object:
        return await self.patch(POOL, name, {"spec": spec})

    async def run_pod(
        self,
        name: str,
        address: str,
        *,
        ready: bool = True,
        labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
    ) -> None:
        """As scheduler and kubelet do it: first the Pod, then its status."""
        await self.apply(a_pod(name, labels=labels, annotations=annotations))
        await self.set_status(name, address, ready=ready)

    async def set_status(
        self, name: str, address: str, *, ready: bool = True, phase: str = "Running"
    ) -> None:
        await self.patch(POD, name, pod_status(address, ready=ready, phase=phase), "status")

    async def terminate_pod(self, name: str) -> None:
        """It has its grace period, so it stays as Terminating until `remove_pod`."""
        await self.api.delete(POD, name, self.name)

    async def remove_pod(self, name: str) -> None:
        await self.api.delete(POD, name, self.name, grace_seconds=0)


NewNamespace = Callable[[], Awaitable[Namespace]]
