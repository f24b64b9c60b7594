"""The chart on a real node: installed by helm, probed, running under its own role, uninstalled."""

from __future__ import annotations

import functools

import aiohttp

from tests.cluster.api import (
    CLUSTER_ROLE,
    CLUSTER_ROLE_BINDING,
    SERVICE_ACCOUNT,
    Api,
)
from tests.cluster.node.helm import Helm
from tests.cluster.node.objects import (
    ALONE,
    AUTOSCALER,
    COMMON,
    DISRUPTION_BUDGET,
    SERVERS,
    container,
    everything,
    log_of,
    mentions,
    pods,
)
from tests.cluster.waiting import eventually

SCALED = (
    "router.modelServers.autoscaling.type=hpa",
    f"router.modelServers.autoscaling.scaleTargetRef.name={SERVERS}",
    "router.modelServers.autoscaling.minReplicas=3",
)


async def test_behind_a_gateway_two_pickers_get_ready_under_their_own_role(
    helm: Helm, api: Api, room: str
) -> None:
    with helm.release("vllm", room, *COMMON, "router.epp.replicas=2"):
        running = await pods(api, room, "vllm")
        assert len(running) == 2
        for pod in running:
            assert (container(pod)["ready"], container(pod)["restartCount"]) == (True, 0)
            knows = functools.partial(mentions, api, pod, "the pool changed", '"endpoints":3')
            await eventually("three endpoints in the log", knows)
            assert "not permitted" not in await log_of(api, pod)


async def test_metrics_are_for_those_who_may_read_them(helm: Helm, api: Api, room: str) -> None:
    with helm.release("vllm", room, *COMMON):
        [pod] = await pods(api, room, "vllm")
        url = f"http://{pod['status']['podIP']}:9090/metrics"
        reader = await _reader(api, room)
        stranger = await _token(api, room, "vllm-epp")
        async with aiohttp.ClientSession() as session:
            for token, status in (("", 401), (stranger, 403), (reader, 200)):
                headers = {"Authorization": f"Bearer {token}"} if token else {}
                async with session.get(url, headers=headers) as answer:
                    assert answer.status == status


async def test_an_election_makes_one_of_two_ready(helm: Helm, api: Api, room: str) -> None:
    elected = ("router.epp.replicas=2", "router.epp.leaderElection=true")
    with helm.release("vllm", room, *COMMON, *elected):

        async def one_ready() -> bool:
            found = await pods(api, room, "vllm")
            return sorted(container(pod)["ready"] for pod in found) == [False, True]

        await eventually("one of two ready", one_ready, 30.0)


async def test_the_controllers_understand_scaler_and_disruption_budget(
    helm: Helm, api: Api, room: str
) -> None:
    with helm.release("vllm", room, *COMMON, *SCALED, "router.epp.replicas=2"):

        async def budgeted() -> bool:
            found = await api.get(DISRUPTION_BUDGET, "vllm-epp", room)
            status = found.get("status", {})
            counts = [status.get(one) for one in ("expectedPods", "disruptionsAllowed")]
            return counts == [2, 1]

        async def target_found() -> bool:
            """The metrics it cannot have: no adapter of the external metrics API runs here."""
            [found] = (await api.list(AUTOSCALER, room))["items"]
            conditions = found.get("status", {}).get("conditions") or []
            states = {one["type"]: (one["status"], one["reason"]) for one in conditions}
            return states.get("AbleToScale") == ("True", "SucceededGetScale")

        await eventually("one of two may be disrupted", budgeted)
        await eventually("the scaler has found the model servers", target_found, 45.0)


async def test_an_uninstall_leaves_nothing(helm: Helm, api: Api, room: str) -> None:
    for values in ((*COMMON, *SCALED), ALONE):
        before = await everything(api, room)
        with helm.release("vllm", room, *values):
            assert len(await everything(api, room) - before) > 5

        async def no_pod() -> bool:
            return not await pods(api, room, "vllm")

        await eventually("no Pod of the release", no_pod, 60.0)
        assert await everything(api, room) - before == set()


async def _reader(api: Api, namespace: str) -> str:
    """The token of an account that may get /metrics."""
    name = f"{namespace}-reader"
    await api.create(SERVICE_ACCOUNT.of("reader"), namespace)
    rules = [{"nonResourceURLs": ["/metrics"], "verbs": ["get"]}]
    await api.create(CLUSTER_ROLE.of(name, rules=rules))
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}
    subject = {"kind": "ServiceAccount", "name": "reader", "namespace": namespace}
    await api.create(CLUSTER_ROLE_BINDING.of(name, roleRef=reference, subjects=[subject]))
    return await _token(api, namespace, "reader")


async def _token(api: Api, namespace: str, account: str) -> str:
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    path = SERVICE_ACCOUNT.path(namespace, account, "token")
    return str((await api.call("POST", path, request))["status"]["token"])
