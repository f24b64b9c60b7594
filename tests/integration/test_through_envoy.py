"""An OpenAI client, a real Envoy, a real picker process, simulated model servers."""

from __future__ import annotations

import asyncio
import hashlib
import io
from collections import Counter
from collections.abc import Callable
from typing import Any

import aiohttp
import openai
import pytest

from epp.envoyconfig.settings import Mode
from epp.simulation.server import SimulatedServer
from epp.simulation.settings import ServerSettings
from tests.helpers.picker import Stack, running_stack

MODES = pytest.mark.parametrize("mode", list(Mode))
PROMPT = [{"role": "user", "content": "Say something."}]


async def eventually(check: Callable[[], bool], seconds: float = 5.0) -> None:
    """Polls what another process will show in a while."""
    for _ in range(round(seconds / 0.05)):
        if check():
            return
        await asyncio.sleep(0.05)
    assert check()


async def seen_by_servers(stack: Stack) -> list[dict[str, object]]:
    """The heads of the POST requests that reached the model servers, in no particular order."""
    found: list[dict[str, object]] = []
    async with aiohttp.ClientSession() as session:
        for server in stack.servers:
            async with session.get(f"{server.url}/sim/requests") as answer:
                found += (await answer.json())["requests"]
    return [one for one in found if one["method"] == "POST"]


def nothing_held(stack: Stack) -> bool:
    return (
        stack.picker.metric("llm_d_epp_endpoint_inflight_requests") == 0
        and stack.picker.metric("llm_d_epp_request_running") == 0
    )


@MODES
async def test_chat_streamed_and_not(mode: Mode) -> None:
    async with running_stack(mode) as stack, stack.client() as client:
        plain = await client.chat.completions.create(model="sim", messages=PROMPT, max_tokens=6)  # type: ignore[call-overload]
        assert plain.usage.completion_tokens == 6
        stream = await client.chat.completions.create(  # type: ignore[call-overload]
            model="sim",
            messages=PROMPT,
            max_tokens=6,
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = [chunk async for chunk in stream]
        assert chunks[-1].usage.completion_tokens == 6
        await eventually(lambda: nothing_held(stack))
        await eventually(lambda: stack.picker.metric("llm_d_epp_request_output_tokens_sum") == 12)
        assert stack.picker.metric("llm_d_epp_request_total", model_name="sim") == 2
        assert stack.picker.metric("llm_d_epp_requests_without_pick_total") == 0
        await eventually(lambda: len(stack.picker.request_lines()) == 2)
        lines = stack.picker.request_lines()
        assert [line["status"] for line in lines] == [200, 200]
        assert all(line["endpoint"] in stack.addresses for line in lines)


async def test_what_was_learned_of_the_servers_is_on_the_page() -> None:
    async with running_stack(Mode.FULL) as stack, stack.client() as client:
        # Nine teach it, but an answer that reaches the picker in one piece, as on a busy machine,
        # shows no first token.
        for turn in range(40):
            words = 400 * (1 + turn % 10)
            stream = await client.chat.completions.create(
                model="sim",
                messages=[{"role": "user", "content": f"{turn:02}{words:04}" * words}],
                max_tokens=4,
                stream=True,
                stream_options={"include_usage": True},
            )
            assert [chunk async for chunk in stream]
            if stack.picker.metric("llm_d_epp_learned_samples") > 8:
                break
        await eventually(lambda: stack.picker.metric("llm_d_epp_learned_samples") > 8)
        metric = stack.picker.metric
        assert metric("llm_d_epp_learned_prefill_token_seconds", name="pool") > 0
        # By usage, or more where a scrape fell between a pick and its answer.
        assert 4 <= metric("llm_d_epp_learned_output_tokens") < 6
        assert metric("llm_d_epp_endpoint_prefix_tokens") > 4000
        assert metric("llm_d_epp_endpoint_prefill_ratio") > 0
        assert metric("llm_d_epp_model_token_ratio", model_name="sim") > 0


@MODES
async def test_errors_of_the_model_server_reach_the_client(mode: Mode) -> None:
    async with running_stack(mode) as stack, stack.client() as client:
        with pytest.raises(openai.NotFoundError):
            await client.chat.completions.create(model="nope", messages=PROMPT)  # type: ignore[call-overload]
        await eventually(lambda: nothing_held(stack))
        count = stack.picker.metric("llm_d_epp_request_error_total", error_code="ModelServerError")
        assert count == 1


@MODES
async def test_a_body_that_is_no_request_is_refused_with_its_reason(mode: Mode) -> None:
    async with running_stack(mode) as stack, stack.client() as client:
        with pytest.raises(openai.BadRequestError, match="must have valid messages") as caught:
            await client.chat.completions.create(model="sim", messages=[])
        headers = caught.value.response.headers
        assert headers["x-llm-d-request-dropped-reason"] == "bad-request"
        assert await seen_by_servers(stack) == []


@MODES
async def test_a_prompt_goes_back_to_the_server_that_has_its_prefix(mode: Mode) -> None:
    async with running_stack(mode, count=4) as stack, stack.client() as client:
        served: dict[int, Counter[str]] = {}
        for turn in range(4):
            for conversation in range(3):
                text = f"Conversation {conversation}. " * 200
                answer = await client.chat.completions.with_raw_response.create(
                    model="sim",
                    messages=[{"role": "user", "content": text + str(turn)}],
                    max_tokens=2,
                )
                by = answer.headers["x-served-by"]
                served.setdefault(conversation, Counter())[by] += 1
        assert all(len(servers) == 1 for servers in served.values()), served


@MODES
async def test_the_clients_routing_headers_reach_nobody(mode: Mode) -> None:
    injected = {
        "x-gateway-destination-endpoint": "127.0.0.1:1",
        "x-gateway-destination-endpoint-subset": "127.0.0.1:1",
        "x-prefiller-host-port": "6.6.6.6:1",
        "x-encoder-hosts-ports": "6.6.6.6:1",
        "x-data-parallel-host-port": "6.6.6.6:1",
        "x-kv-cache-source-host-port": "6.6.6.6:1",
        "x-llm-d-inference-objective": "gold",
        "x-gateway-inference-objective": "gold",
        "x-llm-d-inference-fairness-id": "me",
        "x-slo-ttft-ms": "1",
    }
    async with running_stack(mode) as stack, stack.client() as client:
        await client.chat.completions.create(  # type: ignore[call-overload]
            model="sim", messages=PROMPT, max_tokens=2, extra_headers=injected
        )
        [seen] = await seen_by_servers(stack)
        headers = {str(k).lower(): v for k, v in dict(seen["headers"]).items()}  # type: ignore[call-overload]
        reached = set(injected) & set(headers)
        assert reached <= {"x-gateway-destination-endpoint"}
        assert headers.get("x-gateway-destination-endpoint") != "127.0.0.1:1"
        assert headers["x-request-id"]


@MODES
async def test_a_body_of_five_megabytes(mode: Mode) -> None:
    async with running_stack(mode) as stack, aiohttp.ClientSession() as session:
        body = b'{"model": "sim", "prompt": "' + b"ab c" * 1_300_000 + b'"}'
        url = f"{stack.envoy.url}/tokenize"
        async with session.post(url, data=io.BytesIO(body)) as answer:
            status = answer.status
            await answer.read()
        assert status == 200
        [seen] = await seen_by_servers(stack)
        assert seen["body_sha256"] == hashlib.sha256(body).hexdigest()


async def test_a_body_over_the_limit_is_a_413() -> None:
    async with running_stack(Mode.LIGHT, max_body_bytes=1 << 20) as stack:
        async with (
            aiohttp.ClientSession() as session,
            session.post(
                f"{stack.envoy.url}/v1/completions", data=io.BytesIO(bytes(2 << 20))
            ) as answer,
        ):
            assert answer.status == 413
        await eventually(lambda: nothing_held(stack))
        assert await seen_by_servers(stack) == []


@MODES
async def test_requests_without_a_body(mode: Mode) -> None:
    async with running_stack(mode) as stack, aiohttp.ClientSession() as session:
        async with session.get(f"{stack.envoy.url}/version") as answer:
            assert answer.status == 200
        assert stack.picker.metric("llm_d_epp_scheduler_attempts_total", status="success") == 1


@MODES
async def test_the_model_list_is_that_of_the_whole_pool(mode: Mode) -> None:
    async with running_stack(mode, count=1) as stack, stack.client() as client:
        other = SimulatedServer(ServerSettings(models=("other",), adapters=("ad0",)))
        await other.start()
        try:
            stack.picker.write_endpoints([*stack.addresses, f"127.0.0.1:{other.port}"])
            listed: set[str] = set()
            for _ in range(100):
                listed = {model.id async for model in client.models.list()}
                if len(listed) == 3:
                    break
                await asyncio.sleep(0.05)
            assert listed == {"sim", "other", "ad0"}
        finally:
            await other.stop()


@MODES
async def test_a_model_is_rewritten_and_its_name_restored(mode: Mode) -> None:
    document = {
        "routing": {
            "modelRewrites": [
                {
                    "name": "alias",
                    "rules": [
                        {
                            "matches": [{"model": {"value": "public"}}],
                            "targets": [{"modelRewrite": "sim"}],
                        }
                    ],
                }
            ]
        }
    }
    async with running_stack(mode, document=document) as stack, stack.client() as client:
        answer = await client.chat.completions.create(  # type: ignore[call-overload]
            model="public", messages=PROMPT, max_tokens=2
        )
        # Light mode does not see the response, so the name stays the server's there.
        assert answer.model == ("public" if mode is Mode.FULL else "sim")
        assert stack.picker.metric("llm_d_epp_model_rewrite_decisions_total") == 1


ONE_PLACE = {
    "plugins": [
        {"type": "queue-scorer"},
        {"type": "concurrency-detector", "parameters": {"maxConcurrency": 1}},
    ],
    "flowControl": {
        "saturationDetector": {"pluginRef": "concurrency-detector"},
        "defaultRequestTTL": "1s",
        "priorityBands": [{"priority": 0, "maxRequests": 1}],
    },
}


async def started(client: openai.AsyncOpenAI, tokens: int, **options: object) -> Any:
    """A streamed answer of exactly so many tokens whose first chunk has come."""
    stream = await client.chat.completions.create(  # type: ignore[call-overload]
        model="sim",
        messages=PROMPT,
        max_tokens=tokens,
        stream=True,
        extra_body={"ignore_eos": True},
        **options,
    )
    await anext(stream)
    return stream


@MODES
async def test_overload_is_refused_with_reason_and_advice(mode: Mode) -> None:
    async with running_stack(mode, count=1, document=ONE_PLACE) as stack, stack.client() as client:
        running = await started(client, 1000)

        async def short() -> openai.APIStatusError:
            with pytest.raises(openai.APIStatusError) as caught:
                await client.chat.completions.create(model="sim", messages=PROMPT, max_tokens=1)  # type: ignore[call-overload]
            return caught.value

        async with asyncio.TaskGroup() as group:
            attempts = [group.create_task(short()) for _ in range(3)]
        errors = [attempt.result() for attempt in attempts]
        reasons = Counter(e.response.headers["x-llm-d-request-dropped-reason"] for e in errors)
        assert reasons == {"rejected-saturated": 2, "rejected-ttl-expired": 1}
        assert {error.status_code for error in errors} == {429}
        assert all(int(error.response.headers["retry-after"]) >= 1 for error in errors)
        await running.close()
        await eventually(lambda: nothing_held(stack))
        assert stack.picker.metric("llm_d_epp_requests_without_pick_total") == 0


@MODES
async def test_an_empty_pool_is_a_503(mode: Mode) -> None:
    async with running_stack(mode) as stack, stack.client() as client:
        stack.picker.write_endpoints([])
        await eventually(lambda: stack.picker.metric("llm_d_epp_endpoint_reachable") == 0)
        with pytest.raises(openai.InternalServerError) as caught:
            await client.chat.completions.create(model="sim", messages=PROMPT)  # type: ignore[call-overload]
        assert caught.value.status_code == 503
        headers = caught.value.response.headers
        assert headers["x-llm-d-request-dropped-reason"] == "rejected-no-endpoints"
        assert headers["retry-after"]


async def test_a_wait_of_ten_seconds_with_fail_open_is_not_bypassed() -> None:
    document = {
        **ONE_PLACE,
        "flowControl": {"saturationDetector": {"pluginRef": "concurrency-detector"}},
    }
    slow = ServerSettings(models=("sim",), speed=0.1)
    async with (
        running_stack(Mode.LIGHT, count=1, server=slow, document=document) as stack,
        stack.client() as client,
    ):
        running = await started(client, 2000)
        waiter = asyncio.ensure_future(
            client.chat.completions.create(model="sim", messages=PROMPT, max_tokens=1)  # type: ignore[call-overload]
        )
        await asyncio.sleep(10.0)
        assert not waiter.done()
        assert len(await seen_by_servers(stack)) == 1
        await running.close()
        await waiter
        assert stack.picker.metric("llm_d_epp_requests_without_pick_total") == 0
        entries = "llm_d_epp_access_log_entries_total"
        await eventually(lambda: stack.picker.metric(entries, picked_by="us") == 2)
        assert stack.picker.metric(entries, picked_by="nobody") == 0


@MODES
async def test_a_server_killed_under_load_fails_no_request(mode: Mode) -> None:
    async with (
        running_stack(mode, count=3, separate=True) as stack,
        stack.client() as client,
    ):
        stop = asyncio.Event()
        statuses: Counter[str] = Counter()

        async def user(number: int) -> None:
            while not stop.is_set():
                messages = [{"role": "user", "content": f"User {number}"}]
                try:
                    await client.chat.completions.create(  # type: ignore[call-overload]
                        model="sim", messages=messages, max_tokens=5
                    )
                    statuses["ok"] += 1
                except openai.APIStatusError as error:
                    statuses[str(error.status_code)] += 1

        async with asyncio.TaskGroup() as group:
            for number in range(6):
                group.create_task(user(number))
            await asyncio.sleep(1.0)
            before = statuses["ok"]
            stack.processes[0].kill()
            await eventually(lambda: stack.picker.metric("llm_d_epp_endpoint_reachable") == 2, 10.0)
            await asyncio.sleep(0.5)
            stop.set()
        assert statuses["ok"] > before > 0
        assert set(statuses) == {"ok"}
        await eventually(lambda: nothing_held(stack))


async def test_a_killed_picker_leaves_running_answers_unharmed_in_light_mode() -> None:
    async with running_stack(Mode.LIGHT) as stack, stack.client() as client:
        stream = await started(client, 150, stream_options={"include_usage": True})
        stack.picker.kill()
        chunks = [chunk async for chunk in stream]
        assert chunks[-1].usage.completion_tokens == 150
        stack.picker.start()
        answer = await client.chat.completions.create(model="sim", messages=PROMPT, max_tokens=1)  # type: ignore[call-overload]
        assert answer.choices
        await eventually(lambda: len(stack.picker.request_lines()) == 1)


@MODES
async def test_a_client_that_leaves_frees_its_place(mode: Mode) -> None:
    async with running_stack(mode, count=1, document=ONE_PLACE) as stack, stack.client() as client:
        for _ in range(3):
            stream = await started(client, 5000)
            await stream.close()
            await eventually(lambda: nothing_held(stack))


FAULT = {
    "name": "envoy.filters.http.fault",
    "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault",
        "abort": {"http_status": 418, "percentage": {"numerator": 100}},
    },
}


@MODES
async def test_what_a_filter_before_us_answers_reaches_the_client(mode: Mode) -> None:
    """As tokens that are not valid and rate limits do: we see the answer and never the request."""
    async with (
        running_stack(mode, first_filter=FAULT) as stack,
        aiohttp.ClientSession() as session,
        session.post(f"{stack.envoy.url}/v1/chat/completions", json={"model": "sim"}) as answer,
    ):
        assert (answer.status, await answer.text()) == (418, "fault filter abort")
        spurious = stack.envoy.stats("http.")
        assert not [name for name, count in spurious.items() if "spurious" in name and count]


ODD_HEADERS = ("x-request-id", "x-llm-d-inference-fairness-id", "x-llm-d-inference-objective")


@MODES
@pytest.mark.parametrize("name", ODD_HEADERS)
async def test_bytes_that_are_no_text_harm_nobody(mode: Mode, name: str) -> None:
    """A client may put any bytes into a header. Clients of Python would not."""
    body = b'{"model": "sim", "max_tokens": 2, "messages": [{"role": "user", "content": "hi"}]}'
    head = (
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n"
        b"connection: close\r\ncontent-length: %d\r\n%s: caf\xe9\r\n\r\n"
    )
    async with running_stack(mode) as stack:
        host, _, port = stack.envoy.url.removeprefix("http://").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(head % (len(body), name.encode()) + body)
        answer = await asyncio.wait_for(reader.read(), 10)
        writer.close()
        assert answer.startswith(b"HTTP/1.1 200")
        await eventually(lambda: nothing_held(stack))
        await eventually(lambda: len(stack.picker.request_lines()) == 1)
        assert stack.picker.metric("llm_d_epp_request_total", model_name="sim") == 1
        assert not [line for line in stack.picker.lines() if line["level"] == "error"]
