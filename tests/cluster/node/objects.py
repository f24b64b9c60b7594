"""What the tests ask a cluster with a node for."""

from __future__ import annotations

from tests.cluster.api import POD, Api, Kind, Object
from tests.cluster.waiting import eventually

SERVICE = Kind("v1", "Service")
DEPLOYMENT = Kind("apps/v1", "Deployment")
DISRUPTION_BUDGET = Kind("policy/v1", "PodDisruptionBudget")
AUTOSCALER = Kind("autoscaling/v2", "HorizontalPodAutoscaler")
ROLLOUT_SECONDS = 180.0  # on a machine that has much else to do
SERVERS = "simulator"  # the Deployment of the model servers
MADE_OF_OTHERS = {"Event", "EndpointSlice", "Endpoints", "Pod", "ReplicaSet"}

COMMON = ("router.modelServers.matchLabels.app=vllm", "router.epp.resources.requests.cpu=100m")
NAMED = (
    *COMMON,
    "mode=standalone",
    "router.inferencePool.create=false",
    "router.proxy.preStopSleepSeconds=5",
    "router.proxy.resources.requests.cpu=100m",
)
# Needs no names of the cluster.
ALONE = (*NAMED, "router.proxy.modelServersFrom=picks")


async def pods(api: Api, namespace: str, release: str) -> list[Object]:
    selector = f"?labelSelector=app.kubernetes.io/instance={release}"
    return list((await api.call("GET", POD.path(namespace) + selector))["items"])


def container(pod: Object, name: str = "epp") -> Object:
    """Its status; that it is not ready, where the node has said nothing so far."""
    said = pod["status"].get("containerStatuses", ())
    found = [dict(one) for one in said if one["name"] == name]
    return found[0] if found else {"name": name, "ready": False, "restartCount": 0}


async def rolled_out(api: Api, namespace: str, deployment: str) -> bool:
    """Whether only Pods of its latest form are there, and all are available."""
    found = await api.get(DEPLOYMENT, deployment, namespace)
    status, wanted = found["status"], found["spec"]["replicas"]
    seen = status.get("observedGeneration", 0) >= found["metadata"]["generation"]
    counts = [status.get(f"{one}Replicas", 0) for one in ("updated", "available")]
    return seen and counts == [wanted, wanted] and status["replicas"] == wanted


async def replace_servers(api: Api, namespace: str) -> None:
    """A rolling update of the model servers, to its end."""
    new = {"template": {"metadata": {"annotations": {"turn": "second"}}}}
    await api.patch(DEPLOYMENT, SERVERS, {"spec": new}, namespace)

    async def only_new_ones() -> bool:
        """An old one goes on answering for some seconds after it is told to end."""
        found = await api.call("GET", f"{POD.path(namespace)}?labelSelector=app=vllm")
        turns = [one["metadata"].get("annotations", {}) for one in found["items"]]
        return turns == [{"turn": "second"}] * 3

    await eventually("three new servers", only_new_ones, ROLLOUT_SECONDS)


async def gateway_url(api: Api, namespace: str, service: str) -> str:
    found = await api.get(SERVICE, service, namespace)
    return f"http://{found['spec']['clusterIP']}:8081"


async def log_of(api: Api, pod: Object) -> str:
    meta = pod["metadata"]
    path = POD.path(meta["namespace"], meta["name"], "log") + "?container=epp"
    return await api.text("GET", path)


async def mentions(api: Api, pod: Object, *words: str) -> bool:
    """Whether a line of its log has all of them."""
    lines = (await log_of(api, pod)).splitlines()
    return any(all(word in line for word in words) for line in lines)


async def everything(api: Api, namespace: str) -> set[str]:
    """All objects of the namespace and of the whole cluster, of every kind that the server has.

    Without those that controllers make of others, and take away some time after them.
    """
    groups = (await api.call("GET", "/apis"))["groups"]
    roots = ["/api/v1", *(f"/apis/{one['preferredVersion']['groupVersion']}" for one in groups)]
    found = set()
    for root in roots:
        for kind in (await api.call("GET", root))["resources"]:
            if "list" not in kind["verbs"] or kind["kind"] in MADE_OF_OTHERS:
                continue
            scope = f"/namespaces/{namespace}" if kind["namespaced"] else ""
            listed = await api.call("GET", f"{root}{scope}/{kind['name']}")
            names = [one["metadata"]["name"] for one in listed["items"] or []]
            found |= {f"{kind['kind']} {name}" for name in names}
    return found
