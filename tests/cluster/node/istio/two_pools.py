"""The two pools of `manifests/overlays` behind a gateway of Istio, on a real node.

Values, routes, adapters and model servers are those of the overlay `two-pools-kind`, installed with
helm as docs/two-pools.md says. The gateway's Pod is ours, and the model servers have little room.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from tests.cluster.api import NAMESPACE, POD, POOL, Api, ApiRefused, Object
from tests.cluster.chart import MANIFESTS, documents
from tests.cluster.node.cluster import Cluster
from tests.cluster.node.helm import Helm
from tests.cluster.node.istio.control_plane import SYSTEM
from tests.cluster.node.istio.gateway import ADMIN_PORT, GATEWAY_LABEL, gateway_objects
from tests.cluster.node.objects import DEPLOYMENT, SERVICE
from tests.cluster.waiting import eventually

OVERLAYS = MANIFESTS / "overlays"
POOLS = ("reasoning", "governance")
REPLICAS, PLACES = 2, 4  # of model servers of a pool, and of requests that run in each
# Under this name the cluster has the real one.
ENVOY_IMAGE = "docker.io/envoyproxy/envoy:distroless-v1.40.0"
SECONDS = 60.0
# A node of a test has few cores.
CPU = ("router.epp.resources.requests.cpu=50m", "bbr.resources.requests.cpu=50m")


@dataclass(frozen=True, slots=True)
class TwoPools:
    cluster: Cluster
    helm: Helm
    namespace: str
    url: str  # of the gateway
    admin_url: str  # of its Envoy

    def install(self, pool: str, *values: str, files: Sequence[Path] = ()) -> None:
        """Its picker, or what has changed of it. Returns when it is ready. Raises Refused."""
        own = [OVERLAYS / f"two-pools/pools/{pool}-values.yaml"]
        own.append(OVERLAYS / "two-pools-kind/istio-values.yaml")
        if (extra := OVERLAYS / f"two-pools-kind/{pool}-istio-values.yaml").exists():
            own.append(extra)
        self.helm.install(pool, self.namespace, *CPU, *values, files=(*own, *files))

    async def pods(self, api: Api, selector: str) -> list[Object]:
        """Those that are not ending."""
        path = f"{POD.path(self.namespace)}?labelSelector={selector}"
        found = (await api.call("GET", path))["items"]
        return [one for one in found if "deletionTimestamp" not in one["metadata"]]

    async def servers(self, api: Api, pool: str) -> list[str]:
        """host:port of its model servers."""
        found = await self.pods(api, f"app={pool}")
        return [f"{address}:8000" for pod in found if (address := pod["status"].get("podIP"))]

    @asynccontextmanager
    async def one_more_server(self, api: Api, pool: str) -> AsyncIterator[str]:
        """host:port of it; the gateway knows it and has no connection to it yet."""
        before = set(await self.servers(api, pool))
        await api.patch(DEPLOYMENT, pool, {"spec": {"replicas": REPLICAS + 1}}, self.namespace)
        try:
            found: list[str] = []

            async def known() -> bool:
                found[:] = set(await self.servers(api, pool)) - before
                return bool(found) and found[0] in await self.envoy_page("clusters")

            await eventually(f"Envoy knows one more server of {pool}", known, SECONDS)
            yield found[0]
        finally:
            await api.patch(DEPLOYMENT, pool, {"spec": {"replicas": REPLICAS}}, self.namespace)

    async def decisions(self, api: Api, pool: str, since: float) -> list[dict[str, Any]]:
        """The pickers' request log from this time on, in seconds of the epoch."""
        found = []
        for pod in await self.pods(api, picker_selector(pool)):
            text = await self.log(api, pod["metadata"]["name"])
            lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
            found += [one for one in lines if one.get("msg") == "request" and one["ts"] >= since]
        return found

    async def log(self, api: Api, pod: str, container: str = "epp") -> str:
        path = POD.path(self.namespace, pod, "log")
        return await api.text("GET", f"{path}?container={container}")

    async def change(self, api: Api, pool: str, *values: str, files: Sequence[Path] = ()) -> None:
        """As `install`, and returns when the gateway asks no picker of before any more."""
        await asyncio.to_thread(self.install, pool, *values, files=files)
        line = f"{self.picker_cluster(pool)}::"

        async def followed() -> bool:
            page = await self.envoy_page("clusters")
            hosts = {
                one.removeprefix(line).partition(":")[0]
                for one in page.splitlines()
                if one.startswith(line) and "::cx_active::" in one
            }
            running = await self.pods(api, picker_selector(pool))
            return hosts == {pod["status"].get("podIP") for pod in running}

        await eventually(f"Envoy follows the picker of {pool}", followed, SECONDS)

    def picker_cluster(self, pool: str) -> str:
        """As Istio names it to Envoy."""
        return f"outbound|9002||{pool}-epp.{self.namespace}.svc.cluster.local"

    async def delete_picker(self, api: Api, pool: str) -> None:
        """Returns when none of its Pods is left. `install` makes it anew."""
        await api.delete(DEPLOYMENT, f"{pool}-epp", self.namespace)
        path = f"{POD.path(self.namespace)}?labelSelector={picker_selector(pool)}"

        async def gone() -> bool:
            return not (await api.call("GET", path))["items"]

        await eventually(f"no picker of {pool}", gone, SECONDS)

    async def envoy_clusters(self) -> dict[str, Object]:
        """As Istio has programmed them, by name."""
        page = await self.envoy_page("config_dump?resource=dynamic_active_clusters")
        return {one["cluster"]["name"]: one["cluster"] for one in json.loads(page)["configs"]}

    async def envoy_page(self, path: str) -> str:
        """Of its admin server."""
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{self.admin_url}/{path}") as answer,
        ):
            return await answer.text()

    async def gateway_pod(self, api: Api) -> Object:
        [found] = await self.pods(api, GATEWAY_LABEL)
        return found


def picker_selector(pool: str) -> str:
    return f"app.kubernetes.io/instance={pool},app.kubernetes.io/component=picker"


@contextmanager
def installed_pools(cluster: Cluster, helm: Helm, xds: tuple[str, int]) -> Iterator[TwoPools]:
    """Ready inside the block: both pools accepted, and each model answered once."""
    namespace = f"istio-{uuid.uuid4().hex[:8]}"
    with ExitStack() as stack:
        stack.callback(lambda: asyncio.run(_remove(cluster, namespace)))
        address = asyncio.run(_furnish(cluster, namespace, xds))
        # Its Pod's address is not known before it runs.
        bare = TwoPools(cluster, helm, namespace, f"http://{address}", "")
        for pool in POOLS:
            stack.callback(helm.uninstall, pool, namespace)
            bare.install(pool)
        proxy = asyncio.run(_wait_until_served(bare))
        yield TwoPools(cluster, helm, namespace, bare.url, f"http://{proxy}:{ADMIN_PORT}")


async def _furnish(cluster: Cluster, namespace: str, xds: tuple[str, int]) -> str:
    """Everything but the pickers; the address of the gateway's Service."""
    async with cluster.api() as api:
        await api.create(NAMESPACE.of(namespace))
        [gateway] = _documents("two-pools-kind/gateway.yaml")
        own = gateway_objects(gateway, namespace, ENVOY_IMAGE, xds)
        for one in (
            *own,
            *_documents("two-pools/pools/routes.yaml"),
            *_documents("two-pools/pools/adapters.yaml"),
            *map(_of_little_room, _documents("two-pools-kind/model-servers.yaml")),
        ):
            await api.create(one, namespace)
        found = await api.get(SERVICE, gateway["metadata"]["name"], namespace)
        return str(found["spec"]["clusterIP"])


def _documents(path: str) -> list[Object]:
    return documents((OVERLAYS / path).read_text(encoding="utf-8"))


def _of_little_room(deployment: Object) -> Object:
    """So that a few users fill it. It ends at once, as no test waits for its last answer."""
    deployment["spec"]["replicas"] = REPLICAS
    pod = deployment["spec"]["template"]["spec"]
    pod["terminationGracePeriodSeconds"] = 0
    [container] = pod["containers"]
    container["args"].append(f"--max-num-seqs={PLACES}")
    del container["lifecycle"]
    return deployment


async def _wait_until_served(pools: TwoPools) -> str:
    """The address of the gateway's Pod."""
    async with pools.cluster.api() as api:
        for pool in POOLS:

            async def accepted(pool: str = pool) -> bool:
                found = await api.get(POOL, pool, pools.namespace)
                parents = found.get("status", {}).get("parents", [])
                conditions = {
                    (one["type"], one["status"]) for each in parents for one in each["conditions"]
                }
                return {("Accepted", "True"), ("ResolvedRefs", "True")} <= conditions

            await eventually(f"Istio accepts the pool {pool}", accepted, SECONDS)
        async with aiohttp.ClientSession() as session:
            for model in POOLS:

                async def answered(model: str = model) -> bool:
                    body = {"model": model, "max_tokens": 1, "prompt": "Hello"}
                    url = f"{pools.url}/v1/completions"
                    async with session.post(url, json=body) as answer:
                        return answer.status == 200

                await eventually(f"an answer of {model}", answered, SECONDS)
        return str((await pools.gateway_pod(api))["status"]["podIP"])


async def _remove(cluster: Cluster, namespace: str) -> None:
    async with cluster.api() as api:
        await api.delete(NAMESPACE, namespace)


async def make_system_namespace(api: Api) -> None:
    """Where Istio keeps what is its own. It may be there."""
    try:
        await api.create(NAMESPACE.of(SYSTEM))
    except ApiRefused as error:
        if error.status != 409:
            raise
