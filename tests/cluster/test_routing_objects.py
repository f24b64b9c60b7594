"""Objectives and model rewrites of the cluster: what they change, at once and while used."""

from __future__ import annotations

import asyncio
from collections import Counter

import aiohttp

from epp.simulation.settings import ServerSettings
from tests.cluster.api import OBJECTIVE, OLD_OBJECTIVE, OLD_REWRITE, REWRITE, Api, Kind
from tests.cluster.definitions import OWN, install, read_definitions, remove
from tests.cluster.installation import Install, Installation, Plan
from tests.cluster.load import Answer, ask
from tests.cluster.objects import a_rewrite, an_objective, rewrite_rules
from tests.cluster.waiting import eventually

OBJECTIVE_HEADER = "x-llm-d-inference-objective"
SPLIT_REQUESTS = 1000
IN_PARALLEL = 25
# 4.5 standard deviations: a right split fails one time in 100 000.
DEVIATIONS = 4.5
LOOKED_FOR_AGAIN_SECONDS = 60.0  # a kind that is not installed

ONE_PLACE = {
    "plugins": [
        {"type": "queue-scorer"},
        {"type": "concurrency-detector", "parameters": {"maxConcurrency": 1}},
    ],
    "flowControl": {
        "saturationDetector": {"pluginRef": "concurrency-detector"},
        "defaultRequestTTL": "60s",
    },
}


async def priority_of(site: Installation, objective: str) -> object:
    """As the picker's log tells of one request that names the objective."""
    before = len(site.picker.request_lines())
    async with aiohttp.ClientSession() as session:
        await ask(session, site.url, "Hi.", headers={OBJECTIVE_HEADER: objective})
    await eventually("a line of the request", lambda: len(site.picker.request_lines()) > before)
    return site.picker.request_lines()[-1]["priority"]


async def has_priority(
    site: Installation, objective: str, priority: int, seconds: float = 15.0
) -> None:
    async def has() -> bool:
        return await priority_of(site, objective) == priority

    await eventually(f"objective {objective} has priority {priority}", has, seconds)


async def test_an_objective_decides_who_is_first_and_may_change(install_plan: Install) -> None:
    slow = ServerSettings(models=("sim",), speed=0.5)
    async with install_plan(Plan(servers=1, document=ONE_PLACE, settings=slow)) as site:
        await site.namespace.apply(an_objective("gold", 10))
        await site.namespace.apply(an_objective("silver", 5))
        await has_priority(site, "silver", 5)
        await has_priority(site, "gold", 10)
        assert await order_of_answers(site, ["silver", "gold"]) == ["gold", "silver"]
        await site.namespace.patch(OBJECTIVE, "gold", {"spec": {"priority": -1}})
        await has_priority(site, "gold", -1)
        assert await order_of_answers(site, ["gold", "silver"]) == ["silver", "gold"]
        await site.namespace.patch(OBJECTIVE, "gold", {"spec": {"priority": None}})
        await has_priority(site, "gold", 0)
        await site.namespace.delete_object(OBJECTIVE, "silver")
        await has_priority(site, "silver", 0)


async def order_of_answers(site: Installation, objectives: list[str]) -> list[str]:
    """Two of each objective ask, in this order, while the only place is taken."""
    done: list[str] = []
    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:

        async def one(objective: str) -> None:
            headers = {OBJECTIVE_HEADER: objective}
            answer = await ask(session, site.url, "Hi.", headers=headers)
            assert answer.status == 200, answer
            done.append(objective)

        group.create_task(ask(session, site.url, "At length.", tokens=150))
        await eventually("the place is taken", lambda: not site.nothing_held())
        for wanted, objective in enumerate(objectives * 2, start=1):
            group.create_task(one(objective))
            await eventually("it waits", lambda wanted=wanted: waiting(site) == wanted)
    await eventually("nothing is held", site.nothing_held)
    return list(dict.fromkeys(done))


def waiting(site: Installation) -> int:
    return sum(row["requests"] for row in site.picker.status()["waiting"])


async def test_an_objective_of_another_pool_does_not_count(install_plan: Install) -> None:
    async with install_plan(Plan(servers=1)) as site:
        await site.namespace.apply(an_objective("gold", 10, pool="other"))
        stranger = an_objective("silver", 5)
        stranger["spec"]["poolRef"]["group"] = "inference.networking.x-k8s.io"
        await site.namespace.apply(stranger)
        await site.namespace.apply(an_objective("bronze", 1))
        await has_priority(site, "bronze", 1)
        assert await priority_of(site, "gold") == 0
        assert await priority_of(site, "silver") == 0


async def test_a_rewrite_splits_by_weight_and_may_change(install_plan: Install) -> None:
    """The servers have no model `missing`: who is sent there gets 404, so the client sees it."""
    async with install_plan(Plan(servers=2)) as site:
        assert await statuses(site, 5) == {404: 5}
        await site.namespace.apply(a_rewrite("split", "public", {"sim": 90, "missing": 10}))
        await served(site)
        split = await statuses(site, SPLIT_REQUESTS)
        spread = DEVIATIONS * (SPLIT_REQUESTS * 0.9 * 0.1) ** 0.5
        print(f"90/10 over {SPLIT_REQUESTS} requests: {split[200]} and {split[404]}")
        assert split.total() == split[200] + split[404]
        assert abs(split[404] - SPLIT_REQUESTS * 0.1) <= spread
        rules = rewrite_rules("public", {"sim": None})
        await site.namespace.patch(REWRITE, "split", {"spec": {"rules": rules}})
        await eventually("all go to the model that exists", lambda: all_are(site, 200))
        await site.namespace.delete_object(REWRITE, "split")
        await eventually("nothing is rewritten", lambda: all_are(site, 404))


async def test_the_oldest_of_two_rewrites_counts(install_plan: Install) -> None:
    async with install_plan(Plan(servers=1)) as site:
        await site.namespace.apply(a_rewrite("younger-in-name", "public", {"sim": None}))
        await served(site)
        await asyncio.sleep(1.1)  # creation is told in seconds
        await site.namespace.apply(a_rewrite("a-later-one", "public", {"missing": None}))
        await site.namespace.apply(a_rewrite("catch-all", "", {"missing": None}))
        await eventually("the catch-all is known", lambda: is_status(site, "unheard-of", 404))
        assert await statuses(site, 5) == {200: 5}
        await site.namespace.delete_object(REWRITE, "younger-in-name")
        await eventually("the other one counts", lambda: all_are(site, 404))


async def served(site: Installation) -> None:
    await eventually("requests are rewritten", lambda: is_status(site, "public", 200))


async def is_status(site: Installation, model: str, status: int) -> bool:
    async with aiohttp.ClientSession() as session:
        return (await ask(session, site.url, "Hi.", model=model, tokens=1)).status == status


async def all_are(site: Installation, status: int) -> bool:
    return await statuses(site, IN_PARALLEL) == {status: IN_PARALLEL}


async def statuses(site: Installation, requests: int) -> Counter[int]:
    """Of requests for the model `public`, each with a prompt of its own."""
    found: Counter[int] = Counter()
    async with aiohttp.ClientSession() as session:
        for begin in range(0, requests, IN_PARALLEL):
            numbers = range(begin, min(begin + IN_PARALLEL, requests))
            answers: list[Answer] = await asyncio.gather(
                *(
                    ask(session, site.url, f"Question {n}", model="public", tokens=1)
                    for n in numbers
                )
            )
            found.update(answer.status for answer in answers)
    return found


async def test_objects_of_the_old_group_count_where_it_is_alone(
    api: Api, install_plan: Install
) -> None:
    """Then the current group is installed under the running picker, and takes over."""
    own = read_definitions(OWN)
    await remove(api, own)
    try:
        async with install_plan(Plan(servers=1)) as site:
            await create_both(site, OLD_OBJECTIVE, OLD_REWRITE, priority=3)
            await has_priority(site, "gold", 3)
            await served(site)
            for plural in ("inferenceobjectives", "inferencemodelrewrites"):
                assert len(site.picker.lines(f"{plural}.llm-d.ai", "not installed")) == 1
            await install(api, own)
            await create_both(site, OBJECTIVE, REWRITE, priority=7)
            await has_priority(site, "gold", 7, LOOKED_FOR_AGAIN_SECONDS)
            await served(site)
    finally:
        await install(api, own)


async def create_both(site: Installation, objective: Kind, rewrite: Kind, *, priority: int) -> None:
    await site.namespace.apply(an_objective("gold", priority, kind=objective))
    await site.namespace.apply(a_rewrite("to-sim", "public", {"sim": None}, kind=rewrite))


async def test_the_current_group_is_preferred_to_the_old_one(install_plan: Install) -> None:
    async with install_plan(Plan(servers=1)) as site:
        await site.namespace.apply(an_objective("gold", 3, kind=OLD_OBJECTIVE))
        await eventually("the log says so", lambda: site.picker.lines("ignored", OLD_GROUP_NAME))
        assert await priority_of(site, "gold") == 0
        await site.namespace.apply(an_objective("gold", 7))
        await has_priority(site, "gold", 7)


OLD_GROUP_NAME = "inferenceobjectives.inference.networking.x-k8s.io"
