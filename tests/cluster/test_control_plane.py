"""What the other tests rely on: this API server behaves as the one of a cluster does."""

from __future__ import annotations

from collections.abc import Coroutine

import pytest

from tests.cluster.accounts import PICKER_RULES, PODS
from tests.cluster.api import OBJECTIVE, OLD_OBJECTIVE, POD, POOL, Api, ApiRefused, Kind
from tests.cluster.control_plane import ControlPlane
from tests.cluster.namespace import Namespace
from tests.cluster.objects import a_pod, a_pool, a_rewrite, an_objective
from tests.cluster.waiting import eventually


async def test_the_official_definitions_are_in_force(namespace: Namespace) -> None:
    made = await namespace.create_pool()
    assert made["spec"]["endpointPickerRef"]["failureMode"] == "FailClose"
    with pytest.raises(ApiRefused, match="port number must be unique") as caught:
        await namespace.apply(a_pool("other", ports=(8000, 8000)))
    assert caught.value.status == 422


@pytest.mark.parametrize("kind", [OBJECTIVE, OLD_OBJECTIVE], ids=["llm-d.ai", "x-k8s.io"])
async def test_objectives_of_both_groups(namespace: Namespace, kind: Kind) -> None:
    made = await namespace.apply(an_objective("gold", 10, kind=kind))
    assert made["spec"]["poolRef"]["kind"] == "InferencePool"
    assert made["spec"]["poolRef"]["group"] == "inference.networking.k8s.io"


@pytest.mark.parametrize("weight", [0, 1_000_001])
async def test_a_weight_out_of_range_is_refused(namespace: Namespace, weight: int) -> None:
    with pytest.raises(ApiRefused, match="weight") as caught:
        await namespace.apply(a_rewrite("split", "public", {"base": weight}))
    assert caught.value.status == 422


async def test_a_pod_terminates_until_it_is_removed(namespace: Namespace) -> None:
    await namespace.run_pod("one", "127.66.9.9")
    await namespace.terminate_pod("one")
    found = await namespace.api.get(POD, "one", namespace.name)
    assert "deletionTimestamp" in found["metadata"]
    assert found["status"]["podIP"] == "127.66.9.9"
    await namespace.remove_pod("one")
    with pytest.raises(ApiRefused, match="not found"):
        await namespace.api.get(POD, "one", namespace.name)


async def test_an_account_may_do_what_its_rules_say_and_no_more(
    control_plane: ControlPlane, namespace: Namespace
) -> None:
    account = await namespace.account([PODS])
    token = await account.token()
    async with Api(control_plane.url, control_plane.trust(), token) as mine:
        assert (await mine.list(POD, namespace.name))["items"] == []
        with pytest.raises(ApiRefused, match="cannot list resource") as caught:
            await mine.list(POOL, namespace.name)
        assert caught.value.status == 403
        assert account.user in caught.value.message
        with pytest.raises(ApiRefused, match="cannot list resource"):
            await mine.list(POD, "default")
        await account.allow(*PICKER_RULES)

        await eventually("pools can be listed", lambda: _may(mine.list(POOL, namespace.name)))


async def test_history_that_is_compacted_is_expired_after_a_restart(
    control_plane: ControlPlane, namespace: Namespace
) -> None:
    seen = await namespace.api.list(POD, namespace.name)
    await namespace.apply(a_pod("one"))
    control_plane.compact()
    await control_plane.restart_api_server()
    version = seen["metadata"]["resourceVersion"]
    event = await namespace.api.watch_from(POD, version, namespace.name)
    assert (event["type"], event["object"]["code"]) == ("ERROR", 410)
    assert len((await namespace.api.list(POD, namespace.name))["items"]) == 1


async def _may(request: Coroutine[None, None, object]) -> bool:
    """Whether it is not forbidden."""
    try:
        await request
    except ApiRefused as error:
        if error.status != 403:
            raise
        return False
    return True
