"""/metrics with tokens that a real API server judges, and https with client certificates."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from tests.cluster.accounts import Account
from tests.cluster.api import Api
from tests.cluster.control_plane import ControlPlane
from tests.cluster.namespace import Namespace
from tests.cluster.picker import KubernetesPicker, StartPicker
from tests.cluster.reviewers import may_read_metrics, may_review
from tests.cluster.waiting import eventually
from tests.helpers.certificates import Authority

AUTH = "--metrics-endpoint-auth"


@dataclass(frozen=True)
class Page:
    status: int
    text: str


async def page(
    picker: KubernetesPicker,
    token: str = "",
    *,
    path: str = "/metrics",
    tls: ssl.SSLContext | None = None,
) -> Page:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    url = f"{'https' if tls else 'http'}://127.0.0.1:{picker.metrics_port}{path}"
    timeout = aiohttp.ClientTimeout(15.0)
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.get(url, headers=headers, ssl=tls or True) as answer,
    ):
        return Page(answer.status, await answer.text())


@pytest.fixture
async def reader(api: Api, namespace: Namespace) -> Account:
    """May read metrics, as the monitoring of a chart."""
    account = await namespace.account([], name="reader")
    await may_read_metrics(api, account)
    return account


@pytest.fixture
async def stranger(namespace: Namespace) -> Account:
    return await namespace.account([], name="stranger")


@pytest.fixture
async def picker(
    api: Api, namespace: Namespace, start_picker: StartPicker
) -> AsyncIterator[KubernetesPicker]:
    """With the flag's default, under an account that may ask for reviews."""
    account = await namespace.account()
    await may_review(api, account)
    async with start_picker(namespace, account=account, flags=[AUTH]) as running:
        yield running


async def test_who_may_read_the_page(
    picker: KubernetesPicker, reader: Account, stranger: Account
) -> None:
    for token in ("", "made-up"):
        assert await page(picker, token) == Page(401, "Unauthorized\n")
    denied = await page(picker, await stranger.token())
    assert denied == Page(403, f"Authorization denied for user {stranger.user}\n")
    allowed = await page(picker, await reader.token())
    assert allowed.status == 200
    assert "llm_d_epp_info" in allowed.text
    # What says whether the process is well needs no token.
    assert (await page(picker, path="/livez")).status == 200
    assert picker.status()["endpoint_count"] == 0


async def test_a_right_that_is_granted_counts_soon(
    api: Api, picker: KubernetesPicker, stranger: Account
) -> None:
    token = await stranger.token()
    assert (await page(picker, token)).status == 403
    await may_read_metrics(api, stranger)

    async def allowed() -> bool:
        return (await page(picker, token)).status == 200

    await eventually("the page for one who was granted it", allowed, 30.0)


async def test_known_readers_are_served_while_the_api_server_is_away(
    control_plane: ControlPlane, picker: KubernetesPicker, reader: Account, stranger: Account
) -> None:
    known, unknown = await reader.token(), await stranger.token()
    assert (await page(picker, known)).status == 200
    async with control_plane.without_api_server():
        assert (await page(picker, known)).status == 200
        refused = await page(picker, unknown)
        assert refused == Page(503, "Authentication failed: the API server does not answer\n")

    async def judged() -> bool:
        return (await page(picker, unknown)).status == 403

    await eventually("tokens are judged again", judged)
    back = "tokens for /metrics can be reviewed again"
    await eventually("the log says that it works again", lambda: picker.lines(back))
    assert len(picker.lines("nobody new is let through to /metrics")) == 1


async def test_many_requests_with_one_token_are_one_question(
    picker: KubernetesPicker, reader: Account
) -> None:
    token = await reader.token()
    pages = await asyncio.gather(*(page(picker, token) for _ in range(20)))
    assert {each.status for each in pages} == {200}


async def test_a_picker_that_may_not_ask_for_reviews_says_so(
    api: Api, namespace: Namespace, start_picker: StartPicker, reader: Account
) -> None:
    account = await namespace.account()
    token = await reader.token()
    async with start_picker(namespace, account=account, flags=[AUTH]) as picker:
        refused = await page(picker, token)
        assert refused.status == 500
        assert "does not review the token" in refused.text
        words = ("nobody new is let through to /metrics", "create tokenreviews: 403 Forbidden")
        await eventually("the log names what is missing", lambda: picker.lines(*words))
        await may_review(api, account)

        async def allowed() -> bool:
            return (await page(picker, token)).status == 200

        await eventually("the page, once the picker may ask", allowed)


async def test_without_authentication_everyone_reads(
    namespace: Namespace, start_picker: StartPicker
) -> None:
    async with start_picker(namespace, flags=[f"{AUTH}=false"]) as picker:
        assert (await page(picker)).status == 200


async def test_https_with_a_token_and_with_client_certificates(
    api: Api, namespace: Namespace, start_picker: StartPicker, reader: Account, tmp_path: Path
) -> None:
    authority, other = Authority("ours"), Authority("theirs")
    authority.server("picker").write_pair(tmp_path, "tls")
    (tmp_path / "ca.crt").write_bytes(authority.certificate)
    good = authority.client().write(tmp_path / "good.pem")
    bad = other.client().write(tmp_path / "bad.pem")
    token = await reader.token()
    account = await namespace.account()
    await may_review(api, account)
    files = f"--metrics-cert-dir={tmp_path}"

    async with start_picker(namespace, account=account, flags=[AUTH, files]) as picker:
        assert (await page(picker, token, tls=authority.trust())).status == 200
        assert (await page(picker, tls=authority.trust())).status == 401
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await page(picker, token, tls=other.trust())

    mutual = [f"{AUTH}=false", files, f"--metrics-client-ca-file={tmp_path / 'ca.crt'}"]
    async with start_picker(namespace, account=account, flags=mutual) as picker:
        assert (await page(picker, tls=authority.trust(good))).status == 200
        for certificate in (None, bad):
            with pytest.raises((aiohttp.ClientError, ConnectionError)):
                await page(picker, tls=authority.trust(certificate))
        (tmp_path / "ca.crt").write_bytes(other.certificate)  # renewed, without a restart
        assert (await page(picker, tls=authority.trust(bad))).status == 200
        with pytest.raises((aiohttp.ClientError, ConnectionError)):
            await page(picker, tls=authority.trust(good))
