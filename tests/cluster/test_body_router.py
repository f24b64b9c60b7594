"""The body router learns base models from ConfigMaps of a real API server."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence

import pytest

from tests.cluster.accounts import Account
from tests.cluster.api import CLUSTER_ROLE, CLUSTER_ROLE_BINDING, Kind, Object
from tests.cluster.control_plane import ControlPlane
from tests.cluster.namespace import Namespace, NewNamespace
from tests.cluster.waiting import eventually
from tests.helpers.bodyrouting import BASE_MODEL_HEADER, BodyRouterProcess, running_body_router
from tests.helpers.gateway import a_gateway, request_body, request_headers

CONFIG_MAP = Kind("v1", "ConfigMap")
RULE: Object = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list", "watch"]}
LABEL = "inference.networking.k8s.io/bbr-managed"
NEW_LABEL = "inference.llm-d.ai/ipp-managed"
TRIED_AGAIN_SECONDS = 60.0


def a_config_map(
    name: str, base: str, adapters: Sequence[str] = (), labels: Sequence[str] = (LABEL,)
) -> Object:
    return CONFIG_MAP.of(
        name,
        metadata={"labels": dict.fromkeys(labels, "true")},
        data={"baseModel": base, "adapters": json.dumps(list(adapters))},
    )


@contextlib.contextmanager
def watching(
    control_plane: ControlPlane, account: Account, token: str, *, everywhere: bool = False
) -> Iterator[BodyRouterProcess]:
    config = control_plane.kubeconfig(f"{account.namespace}-bbr.kubeconfig", token=token)
    flags = ("--kubeconfig", str(config), "--metrics-endpoint-auth=false")
    namespace = "" if everywhere else account.namespace
    with running_body_router(flags, {"NAMESPACE": namespace}) as router:
        yield router
        assert "Traceback" not in router.log(), router.log()[-8000:]


async def base_of(router: BodyRouterProcess, model: str) -> str:
    """As a gateway is told; empty where it is told nothing."""
    async with a_gateway(router.grpc_port) as gateway:
        call = gateway.open()
        body = json.dumps({"model": model}).encode()
        reply = await call.ask(request_headers(response_mode=0), request_body(body))
        await call.half_close()
    mutation = reply.request_headers.response.header_mutation
    found = {option.header.key: option.header.raw_value.decode() for option in mutation.set_headers}
    return found.get(BASE_MODEL_HEADER, "")


async def becomes(router: BodyRouterProcess, model: str, base: str, seconds: float = 15.0) -> None:
    async def look() -> bool:
        return await base_of(router, model) == base

    await eventually(f"base model {base!r} of {model!r}", look, seconds)


async def test_config_maps_are_followed(control_plane: ControlPlane, namespace: Namespace) -> None:
    await namespace.apply(a_config_map("qwen", "base", ["one"]))
    await namespace.apply(a_config_map("both", "other", ["two"], (LABEL, NEW_LABEL)))
    await namespace.apply(a_config_map("unlabelled", "third", ["three"], ()))
    account = await namespace.account([RULE])
    with watching(control_plane, account, await account.token()) as router:
        # All that was there at the start is known as soon as it serves.
        assert await base_of(router, "one") == await base_of(router, "base") == "base"
        assert await base_of(router, "two") == "other"
        assert await base_of(router, "three") == ""
        await namespace.apply(a_config_map("late", "base", ["four"], (NEW_LABEL,)))
        await becomes(router, "four", "base")
        changed = {"data": {"adapters": "- five\n- 6\n"}}
        await namespace.patch(CONFIG_MAP, "qwen", changed)
        await becomes(router, "6", "base")
        assert await base_of(router, "one") == ""
        await namespace.delete_object(CONFIG_MAP, "late")
        await becomes(router, "four", "")
        assert router.metrics()["bbr_base_model_names"] == 5


async def test_what_is_wrong_with_one_harms_no_other(
    control_plane: ControlPlane, namespace: Namespace
) -> None:
    await namespace.apply(a_config_map("good", "base", ["one"]))
    await namespace.apply(a_config_map("bad", " ", ["two"]))
    await namespace.apply(a_config_map("rival", "other", ["one", "mine"]))
    account = await namespace.account([RULE])
    with watching(control_plane, account, await account.token()) as router:
        assert await base_of(router, "mine") == "other"

        def named(*words: str) -> bool:
            return any(all(word in line["msg"] for word in words) for line in router.lines())

        await eventually(
            "the bad one is named",
            lambda: named(f"{namespace.name}/bad is left out", "data.baseModel"),
        )
        await eventually("the dispute is named", lambda: named("'one' is claimed by"))


async def test_without_permission_it_serves_and_says_what_is_missing(
    control_plane: ControlPlane, namespace: Namespace
) -> None:
    await namespace.apply(a_config_map("qwen", "base", ["one"]))
    account = await namespace.account([])
    with watching(control_plane, account, await account.token()) as router:
        assert await base_of(router, "one") == ""

        def refused() -> bool:
            words = ("not permitted", "list configmaps", namespace.name)
            return any(all(word in line["msg"] for word in words) for line in router.lines())

        await eventually("the missing permission is named", refused)
        await account.allow(RULE)
        await becomes(router, "one", "base", TRIED_AGAIN_SECONDS)


async def test_all_namespaces(
    control_plane: ControlPlane, namespace: Namespace, new_namespace: NewNamespace
) -> None:
    other = await new_namespace()
    await namespace.apply(a_config_map("here", "base", ["here"]))
    await other.apply(a_config_map("there", "base", ["there"]))
    account = await namespace.account([])
    name = f"{namespace.name}-bbr"
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}
    await namespace.api.create(CLUSTER_ROLE.of(name, rules=[RULE]))
    binding = CLUSTER_ROLE_BINDING.of(name, roleRef=role, subjects=[account.subject])
    await namespace.api.create(binding)
    with watching(control_plane, account, await account.token(), everywhere=True) as router:
        assert await base_of(router, "here") == await base_of(router, "there") == "base"


@pytest.mark.timeout(180)
async def test_base_models_stay_while_the_api_server_is_away(
    control_plane: ControlPlane, namespace: Namespace
) -> None:
    await namespace.apply(a_config_map("qwen", "base", ["one"]))
    account = await namespace.account([RULE])
    with watching(control_plane, account, await account.token()) as router:
        assert await base_of(router, "one") == "base"
        async with control_plane.without_api_server():
            await eventually(
                "the loss is in the log", lambda: "the API server fails" in router.log(), 30.0
            )
            assert await base_of(router, "one") == "base"
        await namespace.apply(a_config_map("late", "base", ["two"]))
        await becomes(router, "two", "base", TRIED_AGAIN_SECONDS)
        assert await base_of(router, "one") == "base"
