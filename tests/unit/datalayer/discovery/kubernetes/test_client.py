from __future__ import annotations

import sys
from pathlib import Path

import pytest
from aiohttp import web

from epp.datalayer.discovery.kubernetes.answers import FailureKind
from epp.datalayer.discovery.kubernetes.client import ApiError, ApiServer, ClusterConfigError
from tests.helpers.api_server import PODS, a_pod, always, running_api_server


@pytest.mark.parametrize(
    ("content", "named"),
    [
        pytest.param(None, "no such file", id="missing"),
        pytest.param("", "kubeconfig", id="empty"),
        pytest.param("{", "kubeconfig", id="not-yaml"),
        pytest.param("[]", "is not a kubeconfig", id="a-list"),
        pytest.param("words", "is not a kubeconfig", id="text"),
        pytest.param("kind: Config", "current-context", id="no-context"),
    ],
)
async def test_a_kubeconfig_that_cannot_be_used_is_named(
    tmp_path: Path, content: str | None, named: str
) -> None:
    path = tmp_path / "kubeconfig"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ClusterConfigError) as caught:
        await ApiServer(path).open()
    assert str(path) in str(caught.value)
    assert named in str(caught.value)


async def test_without_any_configuration_the_message_says_what_to_give(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(ClusterConfigError, match="--kubeconfig or KUBECONFIG is needed"):
        await ApiServer(None).open()


async def test_a_client_that_is_not_installed_is_named_with_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "kubernetes.aio.client", None)
    with pytest.raises(ClusterConfigError, match=r"epp\[kubernetes\]"):
        await ApiServer(tmp_path).open()


async def test_the_environment_names_a_kubeconfig(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_api_server() as server:
        monkeypatch.setenv("KUBECONFIG", str(server.write_kubeconfig(tmp_path)))
        api = ApiServer(None)
        await api.open()
        assert b'"items":[]' in await api.get(PODS, {"limit": "5"})
        await api.close()


async def test_failures_by_kind(tmp_path: Path) -> None:
    async with running_api_server() as server:
        api = ApiServer(server.write_kubeconfig(tmp_path))
        await api.open()
        for code, kind in (
            (401, FailureKind.UNAUTHORIZED),
            (403, FailureKind.FORBIDDEN),
            (404, FailureKind.NOT_FOUND),
            (410, FailureKind.GONE),
            (500, FailureKind.REFUSED),
        ):
            server.everywhere = always(code, "why")
            with pytest.raises(ApiError) as caught:
                await api.get(PODS, {})
            assert caught.value.failure.kind is kind
            assert caught.value.failure.detail == f"HTTP {code}: why"
        await server.stop()
        with pytest.raises(ApiError) as caught:
            await api.get(PODS, {})
        assert caught.value.failure.kind is FailureKind.UNREACHABLE
        await api.close()


async def test_a_watch_that_is_silent_for_too_long_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("epp.datalayer.discovery.kubernetes.client.WATCH_GRACE_SECONDS", 0.3)
    async with running_api_server() as server:
        await server.put(PODS, a_pod("a", "10.0.0.1"))
        api = ApiServer(server.write_kubeconfig(tmp_path))
        await api.open()
        async with api.watch(PODS, {"resourceVersion": "0"}, 0.2) as batches:
            lines = [line async for batch in batches for line in batch]
        assert len(lines) == 1
        await api.close()


async def test_an_answer_without_end_is_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("epp.datalayer.discovery.kubernetes.client.MAX_ANSWER_BYTES", 1000)

    async def endless(_request: web.Request) -> web.StreamResponse:
        return web.Response(body=b"x" * 5000)

    async with running_api_server() as server:
        server.everywhere = endless
        api = ApiServer(server.write_kubeconfig(tmp_path))
        await api.open()
        with pytest.raises(ApiError, match="more than 1000 bytes"):
            await api.get(PODS, {})
        await api.close()


async def test_a_client_that_was_closed_meanwhile_is_a_failed_request(tmp_path: Path) -> None:
    async with running_api_server() as server:
        api = ApiServer(server.write_kubeconfig(tmp_path))
        await api.open()
        await api.get(PODS, {"limit": "5"})
        await api._api.close()
        with pytest.raises(ApiError) as caught:
            await api.get(PODS, {"limit": "5"})
        assert caught.value.failure.kind is FailureKind.UNREACHABLE
        await api.close()
