"""Several stages behind a real Envoy: what the server that decodes is told, in both modes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import aiohttp
import openai
import pytest

from epp.envoyconfig.settings import Mode
from epp.simulation.server import SimulatedServer
from epp.simulation.settings import ServerSettings
from tests.helpers.picker import Stack, free_ports, running_stack

MODES = pytest.mark.parametrize("mode", list(Mode))
ROLES = ("encode", "prefill", "decode", "decode")
ROUTING = (
    "x-prefiller-host-port",
    "x-encoder-hosts-ports",
    "x-data-parallel-host-port",
    "x-kv-cache-source-host-port",
)
INJECTED = dict.fromkeys(ROUTING, "6.6.6.6:1")
DISAGG: dict[str, object] = {
    "plugins": [
        *({"type": f"{role}-filter"} for role in ("encode", "prefill", "decode")),
        {"type": "prefix-cache-scorer"},
        {"type": "queue-scorer"},
        {"type": "always-disagg-multimodal-decider"},
        {"type": "prefix-based-pd-decider", "parameters": {"nonCachedTokens": 200}},
        {
            "type": "disagg-profile-handler",
            "parameters": {
                "deciders": {
                    "prefill": "prefix-based-pd-decider",
                    "encode": "always-disagg-multimodal-decider",
                }
            },
        },
    ],
    "schedulingProfiles": [
        {"name": "encode", "plugins": [{"pluginRef": "encode-filter"}]},
        {
            "name": "prefill",
            "plugins": [{"pluginRef": "prefill-filter"}, {"pluginRef": "queue-scorer"}],
        },
        {
            "name": "decode",
            "plugins": [
                {"pluginRef": "decode-filter"},
                {"pluginRef": "prefix-cache-scorer", "weight": 2},
                {"pluginRef": "queue-scorer"},
            ],
        },
    ],
}


async def eventually(check: Callable[[], bool], seconds: float = 5.0) -> None:
    """Polls what another process will show in a while."""
    for _ in range(round(seconds / 0.05)):
        if check():
            return
        await asyncio.sleep(0.05)
    assert check()


async def told(stack: Stack) -> list[tuple[str, dict[str, str]]]:
    """Each POST that reached a model server: the server's address, and the routing headers."""
    found: list[tuple[str, dict[str, str]]] = []
    async with aiohttp.ClientSession() as session:
        for address, server in zip(stack.addresses, stack.servers, strict=True):
            async with session.get(f"{server.url}/sim/requests") as answer:
                requests = (await answer.json())["requests"]
            for one in requests:
                if one["method"] == "POST":
                    headers = {name.lower(): value for name, value in one["headers"]}
                    found.append((address, {n: headers[n] for n in ROUTING if n in headers}))
    return found


def held_at(stack: Stack, server: int) -> float:
    return stack.picker.metric("llm_d_epp_endpoint_inflight_requests", endpoint_name=f"s{server}")


async def ask(client: openai.AsyncOpenAI, content: object, **options: object) -> object:
    return await client.chat.completions.create(  # type: ignore[call-overload]
        model="sim",
        messages=[{"role": "user", "content": content}],
        max_tokens=2,
        extra_headers=INJECTED,
        **options,
    )


@MODES
async def test_the_decoder_is_told_of_the_stages_and_nothing_that_a_client_says(mode: Mode) -> None:
    async with (
        running_stack(mode, count=4, roles=ROLES, document=DISAGG) as stack,
        stack.client() as client,
    ):
        encoder, prefiller, *decoders = stack.addresses
        await ask(client, "Hello")
        [(server, headers)] = await told(stack)
        assert server in decoders
        assert headers == {}
        await ask(client, "A long story. " * 100)
        [(server, headers)] = [one for one in await told(stack) if one[1]]
        assert server in decoders
        assert headers == {"x-prefiller-host-port": prefiller}
        picture = {"type": "image_url", "image_url": {"url": "https://example.com/y.png"}}
        text = {"type": "text", "text": "Another story. " * 100}
        with pytest.raises(openai.BadRequestError, match="reads only text"):
            await ask(client, [text, picture])  # the simulated server does, after it was told
        [(_, headers)] = [one for one in await told(stack) if "x-encoder-hosts-ports" in one[1]]
        assert headers == {"x-prefiller-host-port": prefiller, "x-encoder-hosts-ports": encoder}
        await eventually(lambda: stack.picker.metric("llm_d_epp_endpoint_inflight_requests") == 0)
        counted = {
            kind: stack.picker.metric("llm_d_epp_disagg_decision_total", decision_type=kind)
            for kind in ("decode-only", "prefill-decode", "encode-prefill-decode")
        }
        assert counted == {"decode-only": 1, "prefill-decode": 1, "encode-prefill-decode": 1}
        await eventually(lambda: len(stack.picker.request_lines()) == 3)
        lines = stack.picker.request_lines()
        assert [line.get("prefill") for line in lines] == [None, prefiller, prefiller]


@MODES
async def test_the_prefill_is_over_when_the_answer_begins(mode: Mode) -> None:
    async with (
        running_stack(mode, count=4, roles=ROLES, document=DISAGG) as stack,
        stack.client() as client,
    ):
        stream = await client.chat.completions.create(  # type: ignore[call-overload]
            model="sim",
            messages=[{"role": "user", "content": "A long story. " * 100}],
            max_tokens=5000,
            stream=True,
            extra_body={"ignore_eos": True},
        )
        await anext(stream)
        await eventually(lambda: held_at(stack, 1) == 0)
        assert held_at(stack, 2) + held_at(stack, 3) == 1
        await stream.close()
        await eventually(lambda: stack.picker.metric("llm_d_epp_endpoint_inflight_requests") == 0)


@MODES
async def test_a_coordinator_names_the_profile(mode: Mode) -> None:
    document = {
        **DISAGG,
        "plugins": [
            *DISAGG["plugins"][:-1],  # type: ignore[index]
            {"type": "header-profile-handler"},
        ],
    }
    async with (
        running_stack(mode, count=4, roles=ROLES, document=document) as stack,
        stack.client() as client,
    ):
        for profile in ("encode", "prefill"):
            await client.chat.completions.create(  # type: ignore[call-overload]
                model="sim",
                messages=[{"role": "user", "content": "x"}],
                max_tokens=1,
                extra_headers={"EPP-Profile": profile},
            )
        assert [server for server, _ in await told(stack)] == stack.addresses[:2]
        with pytest.raises(openai.RateLimitError, match="runs no profile"):
            await client.chat.completions.create(  # type: ignore[call-overload]
                model="sim",
                messages=[{"role": "user", "content": "x"}],
                extra_headers={"EPP-Profile": "x"},
            )


@MODES
async def test_a_rank_is_reached_at_the_common_port_and_named_in_a_header(mode: Mode) -> None:
    [port] = free_ports(1)
    document = {
        "plugins": [
            {"type": "random-picker"},
            {"type": "data-parallel-profile-handler", "parameters": {"primaryPort": port}},
        ],
    }
    first = ServerSettings(models=("sim",), port=port)
    async with (
        running_stack(mode, count=1, server=first, document=document) as stack,
        SimulatedServer(ServerSettings(models=("sim",))) as second,
        stack.client() as client,
    ):
        ranks = [*stack.addresses, f"127.0.0.1:{second.port}"]
        stack.picker.write_endpoints(ranks)
        await eventually(lambda: stack.picker.metric("llm_d_epp_endpoint_reachable") == 2)
        for _ in range(20):
            await ask(client, "Hello")
        seen = await told(stack)  # of the server at the common port, the only one that Envoy knows
        assert len(seen) == 20
        assert {headers["x-data-parallel-host-port"] for _, headers in seen} == set(ranks)
        assert all(list(headers) == ["x-data-parallel-host-port"] for _, headers in seen)
        await eventually(lambda: len(stack.picker.request_lines()) == 20)
        lines = stack.picker.request_lines()
        assert {line["endpoint"] for line in lines} == set(ranks)
        assert not any("served" in line for line in lines)
