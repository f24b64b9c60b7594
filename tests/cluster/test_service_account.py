"""In a pod there is no kubeconfig: token and authority are files that the kubelet renews."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

import pytest

from epp.datalayer.discovery.kubernetes.answers import FailureKind
from epp.datalayer.discovery.kubernetes.client import ApiError, ApiServer
from tests.cluster.accounts import Account
from tests.cluster.api import Object
from tests.cluster.control_plane import ControlPlane
from tests.cluster.namespace import Namespace
from tests.cluster.waiting import eventually

CLIENT = "epp.datalayer.discovery.kubernetes.client"
FILES = "kubernetes.aio.config.incluster_config"
PODS_ALONE: list[Object] = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]


async def mount(account: Account, folder: Path) -> None:
    (folder / "token").write_text(await account.token())


@pytest.fixture
def folder(control_plane: ControlPlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a pod sees, but for the place of the folder."""
    url = urlsplit(control_plane.url)
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", str(url.hostname))
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(url.port))
    monkeypatch.setattr(f"{CLIENT}.SERVICE_ACCOUNT", tmp_path)
    monkeypatch.setattr(f"{FILES}.SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    monkeypatch.setattr(f"{FILES}.SERVICE_CERT_FILENAME", str(tmp_path / "ca.crt"))
    (tmp_path / "ca.crt").write_bytes(control_plane.authority.certificate)
    return tmp_path


async def test_a_pod_needs_nothing_but_its_service_account(
    namespace: Namespace, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{CLIENT}.RENEWAL_SECONDS", 0.0)
    account = await namespace.account(PODS_ALONE)
    await mount(account, folder)
    api = ApiServer(None)
    await api.open()
    path = f"/api/v1/namespaces/{namespace.name}/pods"

    async def answer() -> FailureKind | None:
        try:
            await api.get(path, {"limit": "1"})
        except ApiError as error:
            return error.failure.kind
        return None

    async def listed() -> bool:
        return await answer() is None

    async def refused() -> bool:
        return await answer() is FailureKind.UNAUTHORIZED

    try:
        await eventually("a list of pods", listed)
        with pytest.raises(ApiError, match="forbidden"):
            await api.get("/api/v1/namespaces/default/pods", {})
        await account.renew()
        await mount(account, folder)
        await eventually("the former token is refused", refused)
        await api.renew()
        await eventually("a list of pods with the new token", listed)
    finally:
        await api.close()
