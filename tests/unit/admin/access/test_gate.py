from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias

import pytest

from epp.admin.access.gate import MAX_LOOKUPS, AccessGate
from epp.admin.access.reviews import ACCESS_REVIEWS, TOKEN_REVIEWS, Json, ReviewFailed
from epp.admin.access.verdicts import ALLOWED_SECONDS, REFUSED_SECONDS

Check: TypeAlias = Callable[[str | None], Coroutine[Any, Any, tuple[int, str]]]


class Cluster:
    """What an API server would answer: `good` may read metrics, `known` is a user who may not."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.failure: ReviewFailed | None = None
        self.open = asyncio.Event()
        self.open.set()

    async def create(self, path: str, body: Json) -> Json:
        self.asked.append(path)
        await self.open.wait()
        if self.failure is not None:
            raise self.failure
        spec = body["spec"]
        assert isinstance(spec, dict)
        if path == TOKEN_REVIEWS:
            known = spec["token"] in ("good", "known")
            return {"status": {"authenticated": known, "user": {"username": spec["token"]}}}
        assert path == ACCESS_REVIEWS
        assert spec["nonResourceAttributes"] == {"path": "/metrics", "verb": "get"}
        return {"status": {"allowed": spec["user"] == "good"}}


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def check(cluster: Cluster, clock: Clock) -> Check:
    gate = AccessGate(cluster.create, "/metrics", clock)

    async def checked(authorization: str | None) -> tuple[int, str]:
        verdict = await gate.check(authorization)
        return verdict.status, verdict.text

    return checked


@pytest.mark.parametrize(
    ("authorization", "status", "text"),
    [
        (None, 401, "Unauthorized"),
        ("Basic x", 401, "Unauthorized"),
        ("Bearer bad", 401, "Unauthorized"),
        ("Bearer known", 403, "Authorization denied for user known"),
        ("Bearer good", 200, ""),
    ],
)
async def test_who_may_read(
    check: Check, authorization: str | None, status: int, text: str
) -> None:
    assert await check(authorization) == (status, text)


async def test_without_a_token_nobody_is_asked(check: Check, cluster: Cluster) -> None:
    await check(None)
    assert cluster.asked == []


@pytest.mark.parametrize(
    ("token", "questions", "seconds"),
    [("good", 2, ALLOWED_SECONDS), ("known", 2, REFUSED_SECONDS), ("bad", 1, REFUSED_SECONDS)],
)
async def test_a_verdict_is_kept_for_its_time(
    check: Check, cluster: Cluster, clock: Clock, token: str, questions: int, seconds: float
) -> None:
    for _ in range(3):
        await check(f"Bearer {token}")
    assert len(cluster.asked) == questions
    clock.now = seconds
    await check(f"Bearer {token}")
    assert len(cluster.asked) == 2 * questions


async def test_requests_with_one_token_share_a_lookup(check: Check, cluster: Cluster) -> None:
    cluster.open.clear()
    async with asyncio.TaskGroup() as group:
        checks = [group.create_task(check("Bearer good")) for _ in range(20)]
        await asyncio.sleep(0)
        cluster.open.set()
    assert [task.result() for task in checks] == [(200, "")] * 20
    assert cluster.asked == [TOKEN_REVIEWS, ACCESS_REVIEWS]


async def test_who_waits_takes_over_when_the_one_who_asked_goes_away(
    check: Check, cluster: Cluster
) -> None:
    cluster.open.clear()
    async with asyncio.TaskGroup() as group:
        first = group.create_task(check("Bearer good"))
        others = [group.create_task(check("Bearer good")) for _ in range(3)]
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.sleep(0)
        cluster.open.set()
    assert [task.result() for task in others] == [(200, "")] * 3
    assert cluster.asked == [TOKEN_REVIEWS, TOKEN_REVIEWS, ACCESS_REVIEWS]


async def test_lookups_at_a_time_are_bounded(check: Check, cluster: Cluster) -> None:
    cluster.open.clear()
    async with asyncio.TaskGroup() as group:
        checks = [group.create_task(check(f"Bearer t{n}")) for n in range(MAX_LOOKUPS)]
        await asyncio.sleep(0)
        assert (await check("Bearer good"))[0] == 503
        cluster.open.set()
    assert {task.result()[0] for task in checks} == {401}
    assert (await check("Bearer good"))[0] == 200


@pytest.mark.parametrize(("temporary", "status"), [(True, 503), (False, 500)])
async def test_a_failure_is_told_once_in_the_log_and_not_kept(
    check: Check,
    cluster: Cluster,
    caplog: pytest.LogCaptureFixture,
    temporary: bool,
    status: int,
) -> None:
    caplog.set_level(logging.INFO)
    cluster.failure = ReviewFailed("connection to 10.0.0.1 refused", temporary=temporary)
    for _ in range(3):
        found, text = await check("Bearer good")
        assert found == status
        assert text.startswith("Authentication failed: the API server does not")
        assert "10.0.0.1" not in text  # for the log, not for strangers
    assert [record.getMessage() for record in caplog.records] == [
        "nobody new is let through to /metrics: connection to 10.0.0.1 refused"
    ]
    cluster.failure = None
    assert (await check("Bearer good"))[0] == 200
    assert caplog.records[-1].getMessage() == "tokens for /metrics can be reviewed again"


async def test_an_answer_of_no_use_lets_nobody_in() -> None:
    async def create(_path: str, _body: Json) -> Json:
        return {"status": {"authenticated": True, "user": {}}}

    verdict = await AccessGate(create, "/metrics", Clock()).check("Bearer good")
    assert verdict.status == 500


async def test_a_lookup_has_an_end(
    check: Check, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("epp.admin.access.gate.LOOKUP_SECONDS", 0.01)
    cluster.open.clear()
    assert (await check("Bearer good"))[0] == 503
