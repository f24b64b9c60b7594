"""The chart on a real node: pulled in, probed, running under its own role, upgraded under load."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator

import aiohttp
import pytest
import yaml

from tests.cluster.api import NAMESPACE, POD, SERVICE_ACCOUNT, Api, Kind, Object
from tests.cluster.chart import MANIFESTS
from tests.cluster.load import running_load
from tests.cluster.node import Node
from tests.cluster.waiting import eventually

SERVICE = Kind("v1", "Service")
RBAC = "rbac.authorization.k8s.io/v1"
# Of a release, and what it must take with it.
OURS = (
    Kind("apps/v1", "Deployment"),
    SERVICE,
    SERVICE_ACCOUNT,
    Kind("v1", "ConfigMap"),
    Kind("v1", "Secret"),
    Kind(RBAC, "Role"),
    Kind(RBAC, "RoleBinding"),
    Kind("policy/v1", "PodDisruptionBudget"),
    Kind("inference.networking.k8s.io/v1", "InferencePool"),
    Kind(RBAC, "ClusterRole", namespaced=False),
    Kind(RBAC, "ClusterRoleBinding", namespaced=False),
)
COMMON = ("router.modelServers.matchLabels.app=vllm", "router.epp.resources.requests.cpu=100m")
ALONE = (
    *COMMON,
    "mode=standalone",
    "router.inferencePool.create=false",
    # A node of ours has no DNS.
    "router.proxy.modelServersFrom=picks",
    "router.proxy.preStopSleepSeconds=5",
    "router.proxy.resources.requests.cpu=100m",
)


@pytest.fixture
async def cluster(node: Node) -> AsyncIterator[Api]:
    async with node.api() as api:
        yield api


@pytest.fixture
async def room(cluster: Api) -> AsyncIterator[str]:
    """A namespace with three simulated model servers; it goes with all that is in it."""
    name = f"node-{uuid.uuid4().hex[:8]}"
    await cluster.create(NAMESPACE.of(name))
    servers = MANIFESTS / "overlays/kind/model-servers.yaml"
    await cluster.create(yaml.safe_load(servers.read_text(encoding="utf-8")), name)
    yield name
    await cluster.delete(NAMESPACE, name)


async def pods(api: Api, namespace: str, release: str) -> list[Object]:
    selector = f"?labelSelector=app.kubernetes.io/instance={release}"
    return list((await api.call("GET", POD.path(namespace) + selector))["items"])


async def left_of(api: Api, namespace: str, release: str) -> list[str]:
    found = []
    for kind in OURS:
        for one in (await api.list(kind, namespace))["items"]:
            labels = one["metadata"].get("labels", {})
            mine = kind.namespaced or one["metadata"]["name"].startswith(f"{namespace}-")
            if mine and labels.get("app.kubernetes.io/instance") == release:
                found.append(f"{kind.name} {one['metadata']['name']}")
    return found


async def gateway_url(api: Api, namespace: str, service: str) -> str:
    found = await api.get(SERVICE, service, namespace)
    return f"http://{found['spec']['clusterIP']}:8081"


async def log_of(api: Api, pod: Object) -> str:
    meta = pod["metadata"]
    path = POD.path(meta["namespace"], meta["name"], "log") + "?container=epp"
    return await api.text("GET", path)


async def test_behind_a_gateway_two_pickers_get_ready_under_their_own_role(
    node: Node, cluster: Api, room: str
) -> None:
    with node.release("vllm", room, *COMMON, "router.epp.replicas=2"):
        running = await pods(cluster, room, "vllm")
        assert len(running) == 2
        for pod in running:
            [status] = pod["status"]["containerStatuses"]
            assert (status["ready"], status["restartCount"]) == (True, 0)
            await eventually(
                "three endpoints in the log",
                lambda pod=pod: _mentions(cluster, pod, "the pool changed", '"endpoints":3'),
            )
            assert "not permitted" not in await log_of(cluster, pod)
    assert await left_of(cluster, room, "vllm") == []


async def test_metrics_are_for_those_who_may_read_them(node: Node, cluster: Api, room: str) -> None:
    with node.release("vllm", room, *COMMON):
        [pod] = await pods(cluster, room, "vllm")
        url = f"http://{pod['status']['podIP']}:9090/metrics"
        reader = await _reader(cluster, room)
        stranger = await _token(cluster, room, "vllm-epp")
        async with aiohttp.ClientSession() as session:
            for token, status in (("", 401), (stranger, 403), (reader, 200)):
                headers = {"Authorization": f"Bearer {token}"} if token else {}
                async with session.get(url, headers=headers) as answer:
                    assert answer.status == status


async def test_alone_with_envoy_it_serves_and_an_upgrade_fails_no_request(
    node: Node, cluster: Api, room: str
) -> None:
    with node.release("alone", room, *ALONE):
        url = await gateway_url(cluster, room, "alone-epp")
        async with running_load(url) as load:
            await load.goes_on()
            turned = "router.epp.podLabels.turn=second"
            await asyncio.to_thread(node.install, "alone", room, *ALONE, turned)

            async def only_the_new_one() -> bool:
                found = await pods(cluster, room, "alone")
                return [pod["metadata"]["labels"].get("turn") for pod in found] == ["second"]

            await eventually("only the new Pod", only_the_new_one, 60.0)
            await load.goes_on()
        assert load.failures == []
    assert await left_of(cluster, room, "alone") == []


async def test_an_election_makes_one_of_two_ready(node: Node, cluster: Api, room: str) -> None:
    elected = ("router.epp.replicas=2", "router.epp.leaderElection=true")
    with node.release("vllm", room, *COMMON, *elected):

        async def one_ready() -> bool:
            found = await pods(cluster, room, "vllm")
            states = [pod["status"]["containerStatuses"][0]["ready"] for pod in found]
            return sorted(states) == [False, True]

        await eventually("one of two ready", one_ready, 30.0)


async def _mentions(api: Api, pod: Object, *words: str) -> bool:
    lines = (await log_of(api, pod)).splitlines()
    return any(all(word in line for word in words) for line in lines)


async def _reader(api: Api, namespace: str) -> str:
    """The token of an account that may get /metrics."""
    name = f"{namespace}-reader"
    await api.create(SERVICE_ACCOUNT.of("reader"), namespace)
    rules = [{"nonResourceURLs": ["/metrics"], "verbs": ["get"]}]
    role = Kind(RBAC, "ClusterRole", namespaced=False)
    binding = Kind(RBAC, "ClusterRoleBinding", namespaced=False)
    await api.create(role.of(name, rules=rules))
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}
    subject = {"kind": "ServiceAccount", "name": "reader", "namespace": namespace}
    await api.create(binding.of(name, roleRef=reference, subjects=[subject]))
    return await _token(api, namespace, "reader")


async def _token(api: Api, namespace: str, account: str) -> str:
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    path = SERVICE_ACCOUNT.path(namespace, account, "token")
    return str((await api.call("POST", path, request))["status"]["token"])
