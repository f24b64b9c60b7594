"""Shadow profiles in a real picker process: seen in metrics and pages, promoted under load."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.request import Request, urlopen

import yaml

from epp.simulation.server import SimulatedServer
from epp.simulation.settings import ServerSettings
from tests.helpers.gateway import (
    BODY,
    FULL,
    Gateway,
    a_gateway,
    destination,
    request_body,
    request_headers,
    response_body,
    response_headers,
)
from tests.helpers.picker import PickerProcess, running_picker
from tests.helpers.shadows import its_twin, with_shadow

SCORED: dict[str, Any] = {
    "plugins": [{"type": "queue-scorer"}, {"type": "prefix-cache-scorer"}],
    "schedulingProfiles": [
        {
            "name": "scored",
            "plugins": [{"pluginRef": "queue-scorer"}, {"pluginRef": "prefix-cache-scorer"}],
        }
    ],
}
OTHER = {"type": "random-picker"}
SECONDS_A_BYTE = 2e-5  # of a prompt, until the answer begins: what speeds are learned from


@asynccontextmanager
async def a_picker(document: dict[str, Any], count: int = 3) -> AsyncIterator[PickerProcess]:
    servers = [SimulatedServer(ServerSettings(name=f"s{n}", seed=n)) for n in range(count)]
    try:
        for server in servers:
            await server.start()
        with running_picker([f"127.0.0.1:{s.port}" for s in servers], document=document) as picker:
            yield picker
    finally:
        for server in servers:
            await server.stop()


async def asked(gateway: Gateway, rng: random.Random) -> str:
    """Where a request went that was answered well."""
    call = gateway.open()
    body = BODY.replace(b"hi", b"hi " * rng.randrange(400))
    await call.send(request_headers(FULL), request_body(body))
    sent_to = destination(await call.receive())
    await call.receive()  # the body
    await asyncio.sleep(len(body) * SECONDS_A_BYTE)
    await call.ask(response_headers(200))
    await call.ask(response_body(b"{}", True))
    await call.half_close()
    return sent_to


async def page(picker: PickerProcess, path: str, body: bytes | None = None) -> dict[str, Any]:
    request = Request(f"http://127.0.0.1:{picker.metrics_port}{path}", data=body)

    def read() -> dict[str, Any]:
        with urlopen(request, timeout=10.0) as answer:
            found: dict[str, Any] = json.load(answer)
            return found

    return await asyncio.to_thread(read)


def decisions(picker: PickerProcess, profile: str, result: str) -> float:
    name = "llm_d_epp_shadow_decisions_total"
    return picker.metric(name, profile=profile, result=result)


async def test_what_shadows_find_is_in_metrics_status_explain_and_log() -> None:
    document = its_twin(with_shadow(SCORED, [OTHER]))
    async with a_picker(document) as picker, a_gateway(picker.grpc_port) as gateway:
        rng = random.Random(1)
        for _ in range(60):
            await asked(gateway, rng)
        assert decisions(picker, "twin", "agreed") == 60
        assert decisions(picker, "shadow", "agreed") + decisions(picker, "shadow", "differed") == 60
        assert decisions(picker, "shadow", "differed") > 0
        for profile in ("twin", "shadow"):
            assert decisions(picker, profile, "failed") == 0
            assert picker.metric("llm_d_epp_shadow_overhead_seconds_total", profile=profile) > 0.0
        # First tokens were seen, so costs are predicted.
        assert picker.metric("llm_d_epp_shadow_predicted_total", profile="twin") > 0
        cost = "llm_d_epp_shadow_predicted_cost_seconds_total"
        assert picker.metric(cost, profile="twin", result="lost") == 0.0
        assert picker.metric(cost, profile="shadow", result="lost") > 0.0
        status = await page(picker, "/status.json")
        by_name = {shadow["profile"]: shadow for shadow in status["shadows"]}
        assert by_name["twin"]["agreement"] == 1.0
        assert by_name["twin"]["live_profile"] == by_name["shadow"]["live_profile"] == "scored"
        assert 0.0 < by_name["shadow"]["agreement"] < 1.0
        assert 0.0 < by_name["shadow"]["loop_share"] < 1.0
        tried = await page(picker, "/explain", BODY)
        assert [shadow["profile"] for shadow in tried["shadows"]] == ["shadow", "twin"]
        taken = await page(picker, f"/explain/{status['decisions'][0]['request_id']}")
        assert [shadow["agrees"] for shadow in taken["shadows"]][1] is True
        assert decisions(picker, "twin", "agreed") == 60  # what is tried is not counted
        [line] = [x for x in picker.lines() if x.get("msg") == "shadow profiles look on"]
        assert line["live_profile"] == "scored"
        assert line["shadows"] == {"shadow": 1.0, "twin": 1.0}
        assert "Traceback" not in picker.log()


async def test_without_shadows_there_is_none_of_it() -> None:
    async with a_picker(SCORED) as picker, a_gateway(picker.grpc_port) as gateway:
        await asked(gateway, random.Random(1))
        assert (await page(picker, "/status.json"))["shadows"] == []
        url = f"http://127.0.0.1:{picker.metrics_port}/metrics"
        text = await asyncio.to_thread(lambda: urlopen(url, timeout=10.0).read().decode())
        assert "shadow" not in text


async def test_promotion_there_and_back_under_load_fails_no_request() -> None:
    document = with_shadow(SCORED, [OTHER])
    async with a_picker(document) as picker, a_gateway(picker.grpc_port) as gateway:
        file = picker.folder / "config.yaml"
        base, done, stopping = yaml.safe_load(file.read_text()), 0, False

        async def client(seed: int) -> None:
            nonlocal done
            rng = random.Random(seed)
            while not stopping:
                assert await asked(gateway, rng) in picker.servers
                done += 1

        async with asyncio.TaskGroup() as group:
            for seed in range(4):
                group.create_task(client(seed))
            for number in range(20):
                shadow, live = ("scored", "shadow") if number % 2 == 0 else ("shadow", "scored")
                fresh = file.with_suffix(".new")
                fresh.write_text(yaml.safe_dump({**base, "liveProfile": live}))
                fresh.rename(file)
                while True:
                    [found] = (await page(picker, "/status.json"))["shadows"]
                    if found["profile"] == shadow and found["compared"] > 0:
                        break
                    await asyncio.sleep(0.02)
                assert found["live_profile"] == live
            stopping = True
        results = ("agreed", "differed", "not_placed", "skipped", "failed")
        seen = {
            profile: sum(decisions(picker, profile, result) for result in results)
            for profile in ("shadow", "scored")
        }
        assert min(seen.values()) > 0
        assert sum(seen.values()) == done
        assert picker.metric("llm_d_epp_refusals_total") == 0
        assert picker.metric("llm_d_epp_request_error_total") == 0
        assert picker.metric("llm_d_epp_endpoint_inflight_requests") == 0
        assert "Traceback" not in picker.log()
