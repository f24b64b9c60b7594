"""Configurations that change under load, in a real picker process: no request may notice."""

from __future__ import annotations

import asyncio
import json
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.request import urlopen

import pytest
import yaml

from epp.simulation.server import SimulatedServer
from epp.simulation.settings import ServerSettings
from tests.helpers.gateway import (
    BODY,
    BUFFERED,
    FULL,
    Call,
    Gateway,
    a_gateway,
    destination,
    request_body,
    request_headers,
    response_body,
    response_headers,
)
from tests.helpers.picker import PickerProcess, running_picker

RELOADS = 1000
INVALID_EVERY = 10
STREAMS_AT_ONCE = 8
PLACES = 3  # of an endpoint, so that some requests wait


def document(number: int) -> dict[str, Any]:
    """Another one for every number: weights, capacity, limits, routing, filters, block size."""
    scorers = [
        {"pluginRef": "queue-scorer", "weight": number % 7 + 1},
        {"pluginRef": "prefix-cache-scorer", "weight": number % 3},
    ]
    filters = [{"pluginRef": "label-selector-filter"}] if number % 2 else []
    return {
        "plugins": [
            {"type": "queue-scorer"},
            {"type": "prefix-cache-scorer"},
            {"type": "label-selector-filter"},
            {
                "type": "approx-prefix-cache-producer",
                "parameters": {"blockSizeTokens": 64 if number % 50 else 128},
            },
            {"type": "concurrency-detector", "parameters": {"maxConcurrency": PLACES}},
        ],
        "flowControl": {
            "saturationDetector": {"pluginRef": "concurrency-detector"},
            "defaultRequestTTL": f"{50 + number % 10}s",
        },
        "schedulingProfiles": [{"name": "p", "plugins": [*filters, *scorers]}],
        "routing": {"objectives": [{"name": "gold", "priority": number}]},
    }


class Reloads:
    """Writes documents, and waits for what becomes of each."""

    def __init__(self, picker: PickerProcess) -> None:
        self.picker = picker
        self.file = picker.folder / "config.yaml"
        self.base = yaml.safe_load(self.file.read_text())

    def write(self, wanted: Mapping[str, Any]) -> None:
        """With the discovery that the picker was started with."""
        plugins = [*wanted["plugins"], self.base["plugins"][-1]]
        fresh = self.file.with_suffix(".new")
        fresh.write_text(yaml.safe_dump({**self.base, **wanted, "plugins": plugins}))
        fresh.rename(self.file)

    def status(self) -> dict[str, Any]:
        with urlopen(f"http://127.0.0.1:{self.picker.metrics_port}/status.json") as page:
            found: dict[str, Any] = json.load(page)["configuration"]
            return found

    async def until(self, what: str, value: object) -> dict[str, Any]:
        status: dict[str, Any] = {}
        for _ in range(2000):
            status = await asyncio.to_thread(self.status)
            if status[what] == value:
                return status
            await asyncio.sleep(0.005)
        raise AssertionError(f"{what} never became {value!r}: {status}")

    def count(self, result: str) -> float:
        return self.picker.metric("llm_d_epp_config_reloads_total", result=result)


@dataclass
class Load:
    """Requests in both modes, some of which wait; every one must be sent to an endpoint."""

    gateway: Gateway
    done: Counter[str] = field(default_factory=Counter)
    stopping: bool = False

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for seed in range(STREAMS_AT_ONCE):
                group.create_task(self._client(random.Random(seed)))

    async def _client(self, rng: random.Random) -> None:
        while not self.stopping:
            mode = rng.choice([FULL, BUFFERED])
            call = self.gateway.open()
            headers = [("x-llm-d-inference-objective", "gold")] if rng.random() < 0.5 else []
            body = BODY.replace(b"hi", b"hi " * rng.randrange(400))
            await call.send(request_headers(mode, headers=headers))
            if mode == BUFFERED:
                await call.receive()
            await call.send(request_body(body))
            reply = await call.receive()
            while reply.HasField("override_message_timeout"):  # it waits
                self.done["waited"] += 1
                reply = await call.receive()
            self.done[destination(reply)] += 1
            if mode == FULL:
                await call.receive()  # the body
            await call.ask(response_headers(200))
            if mode == FULL:
                await call.ask(response_body(b"{}", True))
            await call.half_close()
            self.done["requests"] += 1


@asynccontextmanager
async def two_servers() -> AsyncIterator[list[str]]:
    servers = [SimulatedServer(ServerSettings(name=f"s{n}", seed=n)) for n in range(2)]
    try:
        for server in servers:
            await server.start()
        yield [f"127.0.0.1:{server.port}" for server in servers]
    finally:
        for server in servers:
            await server.stop()


@pytest.mark.timeout(600)
async def test_a_thousand_reloads_under_load_fail_no_request() -> None:
    async with two_servers() as addresses:
        with running_picker(addresses, document=document(0)) as picker:
            reloads, generation = Reloads(picker), 1
            async with a_gateway(picker.grpc_port) as gateway, asyncio.TaskGroup() as group:
                load = Load(gateway)
                group.create_task(load.run())
                for number in range(1, RELOADS + 1):
                    if number % INVALID_EVERY == 0:
                        reloads.write({**document(number), "nonsense": number})
                        picker.signal(signal.SIGHUP)
                        status = await reloads.until("problem", "nonsense: unknown field")
                        assert status["generation"] == generation  # the last good one stays
                    else:
                        generation += 1
                        reloads.write(document(number))
                        picker.signal(signal.SIGHUP)
                        status = await reloads.until("generation", generation)
                        assert status["problem"] == ""
                load.stopping = True
            assert generation == 1 + RELOADS - RELOADS // INVALID_EVERY
            assert reloads.count("applied") == generation - 1
            # The watch may come upon the file before the signal does, and then both look.
            assert reloads.count("invalid") >= RELOADS // INVALID_EVERY
            assert picker.metric("llm_d_epp_config_generation") == generation
            assert load.done["requests"] > RELOADS / 10
            assert load.done["waited"] > 0
            assert all(load.done[address] > 0 for address in addresses)
            assert picker.metric("llm_d_epp_refusals_total") == 0
            assert picker.metric("llm_d_epp_request_error_total") == 0
            assert picker.metric("llm_d_epp_endpoint_inflight_requests") == 0
            assert "Traceback" not in picker.log()


async def test_who_waits_keeps_the_place_and_is_placed_when_there_is_room() -> None:
    async with two_servers() as addresses:
        with running_picker(addresses[:1], document=document(1)) as picker:
            reloads = Reloads(picker)
            async with a_gateway(picker.grpc_port) as gateway:
                running = [await placed(gateway) for _ in range(PLACES)]
                waiting = [await begun(gateway, mode) for mode in (BUFFERED, FULL, BUFFERED)]
                reloads.write(document(2))  # other filters, weights, deadlines and priorities
                await reloads.until("generation", 2)
                assert picker.metric("llm_d_epp_flow_control_queue_size") == len(waiting)
                for call, next_one in zip(running, waiting, strict=True):
                    call.cancel()
                    assert destination(await next_one.receive()) == addresses[0]
                more = await begun(gateway, FULL)
                wider = document(3)
                wider["plugins"][-1]["parameters"]["maxConcurrency"] = PLACES + 1
                reloads.write(wider)
                assert destination(await more.receive()) == addresses[0]


async def test_a_shorter_time_to_wait_holds_for_who_waits_already() -> None:
    async with two_servers() as addresses:
        with running_picker(addresses[:1], document=document(1)) as picker:
            async with a_gateway(picker.grpc_port) as gateway:
                running = [await placed(gateway) for _ in range(PLACES)]
                late = await begun(gateway, FULL)
                hasty = document(1)
                hasty["flowControl"]["defaultRequestTTL"] = "10ms"
                Reloads(picker).write(hasty)
                reply = await late.receive()
                assert reply.immediate_response.details == "epp_rejected-ttl-expired"
                for call in running:
                    call.cancel()


async def test_a_file_that_is_not_watched_is_read_at_the_signal() -> None:
    with running_picker([], flags=["--enable-config-reload=false"]) as picker:
        reloads = Reloads(picker)
        reloads.write(document(1))
        picker.signal(signal.SIGHUP)
        await reloads.until("generation", 2)


async def begun(gateway: Gateway, mode: int) -> Call:
    """A request that has been sent whole and, in light mode, was told to wait."""
    call = gateway.open()
    await call.send(request_headers(mode))
    if mode == BUFFERED:
        await call.receive()
    await call.send(request_body(BODY))
    if mode == BUFFERED:
        assert (await call.receive()).HasField("override_message_timeout")
    return call


async def placed(gateway: Gateway) -> Call:
    call = gateway.open()
    await call.send(request_headers(FULL), request_body(BODY))
    destination(await call.receive())
    await call.receive()  # the body
    return call
