"""The simulated model server over real sockets, driven by the official OpenAI client."""

from __future__ import annotations

import asyncio
import hashlib
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
import openai
import pytest

from epp.simulation.server import SimulatedServer, serve
from epp.simulation.settings import ServerSettings

RECORDED = Path(__file__).parents[1] / "fixtures" / "vllm-0.32"
FAST = ServerSettings(name="sim-a", models=("tiny",), adapters=("ad0", "ad1"), speed=50.0)
HELLO: list[Any] = [{"role": "user", "content": "Hello there"}]


@dataclass(slots=True)
class Lab:
    """A running server with both kinds of clients."""

    server: SimulatedServer
    openai: openai.AsyncOpenAI
    http: aiohttp.ClientSession

    async def get(self, path: str) -> Any:
        async with self.http.get(path) as response:
            assert response.status == 200
            return await response.json()

    async def post(self, path: str, document: object = None) -> tuple[int, Any]:
        async with self.http.post(path, json=document) as response:
            return response.status, await response.json()

    async def page(self, path: str = "/metrics") -> str:
        async with self.http.get(path) as response:
            assert response.status == 200
            return await response.text()

    async def until(self, **wanted: object) -> None:
        """Wait until `/sim/stats` says so; the test's own time limit ends a vain wait."""
        while True:
            stats = await self.get("/sim/stats")
            if all(stats[name] == value for name, value in wanted.items()):
                return
            await asyncio.sleep(0.005)

    async def page_with(self, name: str, wanted: float) -> str:
        """The metrics page once the series has the wanted value."""
        while True:
            page = await self.page()
            if value(page, name) == wanted:
                return page
            await asyncio.sleep(0.005)


@asynccontextmanager
async def lab(settings: ServerSettings = FAST) -> AsyncIterator[Lab]:
    async with (
        SimulatedServer(settings) as server,
        openai.AsyncOpenAI(
            base_url=f"{server.url}/v1", api_key="none", max_retries=0, timeout=30.0
        ) as client,
        aiohttp.ClientSession(server.url) as http,
    ):
        yield Lab(server, client, http)


def value(page: str, name: str, **labels: str) -> float:
    """The sum of the series of a name that have these labels."""
    pairs = [f'{label}="{text}"' for label, text in labels.items()]
    found = [
        float(line.rsplit(" ", 1)[1])
        for line in page.splitlines()
        if line.startswith((f"{name}{{", f"{name} ")) and all(pair in line for pair in pairs)
    ]
    assert found, name
    return sum(found)


async def test_chat() -> None:
    async with lab() as it:
        answer = await it.openai.chat.completions.create(
            model="tiny", messages=HELLO, max_completion_tokens=8, extra_body={"ignore_eos": True}
        )
        again = await it.openai.chat.completions.create(
            model="tiny", messages=HELLO, max_tokens=8, extra_body={"ignore_eos": True}
        )
    assert answer.choices[0].finish_reason == "length"
    assert answer.choices[0].message.content == again.choices[0].message.content
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (6, 8)


async def test_a_streamed_chat_says_the_same_in_a_chunk_a_token() -> None:
    async with lab() as it:
        whole = await it.openai.chat.completions.create(model="tiny", messages=HELLO, max_tokens=20)
        stream = await it.openai.chat.completions.create(
            model="tiny",
            messages=HELLO,
            max_tokens=20,
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = [chunk async for chunk in stream]
    assert whole.usage is not None
    tokens = whole.usage.completion_tokens
    assert len(chunks) == 1 + tokens + 1
    assert chunks[0].choices[0].delta.role == "assistant"
    texts = [chunk.choices[0].delta.content or "" for chunk in chunks[:-1]]
    assert "".join(texts) == whole.choices[0].message.content
    assert chunks[-2].choices[0].finish_reason == whole.choices[0].finish_reason
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == tokens


async def test_completions_take_text_and_token_ids() -> None:
    async with lab() as it:
        text = await it.openai.completions.create(model="tiny", prompt="Hello there, you")
        _, tokens = await it.post("/tokenize", {"prompt": "Hello there, you"})
        ids = await it.openai.completions.create(model="tiny", prompt=tokens["tokens"])
        stream = await it.openai.completions.create(
            model="tiny", prompt="Hello there, you", stream=True
        )
        streamed = "".join([chunk.choices[0].text async for chunk in stream])
    assert tokens == {"count": 4, "max_model_len": 32_768, "tokens": tokens["tokens"]}
    assert text.choices[0].text == ids.choices[0].text == streamed
    assert text.usage is not None
    assert text.usage.completion_tokens <= 16


async def test_answers_without_a_limit_stop_by_themselves() -> None:
    async with lab() as it:
        answers = await asyncio.gather(
            *(
                it.openai.chat.completions.create(
                    model="tiny", messages=[{"role": "user", "content": f"Question {i}"}]
                )
                for i in range(8)
            )
        )
    assert {answer.choices[0].finish_reason for answer in answers} == {"stop"}
    assert len({answer.usage.completion_tokens for answer in answers if answer.usage}) > 3


async def test_the_raw_stream_is_framed_like_the_recording() -> None:
    head, _, body = (RECORDED / "chat-stream.http").read_bytes().partition(b"\r\n\r\n")
    call = {
        "model": "tiny",
        "messages": HELLO,
        "max_tokens": 8,
        "ignore_eos": True,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    async with lab() as it, it.http.post("/v1/chat/completions", json=call) as response:
        ours = await response.read()
        assert response.headers["content-type"].encode() in head
        assert response.headers["transfer-encoding"] == "chunked"
    assert ours.count(b"data: ") == body.count(b"data: ")
    for mine, theirs in zip(ours.split(b"\n\n")[:-2], body.split(b"\n\n")[:-2], strict=True):
        assert list(json.loads(mine[6:])) == list(json.loads(theirs[6:]))
    assert ours.endswith(b"\n\ndata: [DONE]\n\n")


async def test_stream_headers_come_before_the_first_token() -> None:
    call = {"model": "tiny", "prompt": "x", "stream": True}
    async with lab() as it:
        await it.post("/sim/pause")
        async with it.http.post("/v1/completions", json=call) as response:
            assert response.status == 200  # while the engine stands still
            assert (await it.get("/load"))["server_load"] == 1
            assert value(await it.page(), "vllm:num_requests_running") == 0
            await it.post("/sim/resume")
            assert (await response.read()).endswith(b"data: [DONE]\n\n")


async def test_ids_follow_the_request_id() -> None:
    async with lab() as it:
        named = await it.openai.chat.completions.create(
            model="tiny", messages=HELLO, max_tokens=1, extra_headers={"x-request-id": "my-id-1"}
        )
        plain = await it.openai.completions.create(model="tiny", prompt="x", max_tokens=1)
    assert named.id == "chatcmpl-my-id-1"
    assert plain.id.startswith("cmpl-")
    assert len(plain.id) == len("cmpl-") + 16


@pytest.mark.parametrize(
    ("path", "document", "status", "kind", "param"),
    [
        pytest.param(
            "/v1/chat/completions",
            {"model": "nope", "messages": HELLO},
            404,
            "NotFoundError",
            "model",
            id="unknown model",
        ),
        pytest.param(
            "/v1/completions",
            {"model": "tiny", "prompt": "x" * 400, "max_tokens": 10},
            400,
            "BadRequestError",
            "input_tokens",
            id="prompt and answer too long",
        ),
        pytest.param(
            "/v1/chat/completions",
            {"model": "tiny", "messages": [{"role": "user", "content": "x" * 1000}]},
            400,
            "BadRequestError",
            "input_tokens",
            id="prompt too long",
        ),
        pytest.param(
            "/v1/completions", {"model": "tiny"}, 400, "BadRequestError", "prompt", id="no prompt"
        ),
        pytest.param("/v1/nope", {}, 404, "NotFoundError", None, id="unknown route"),
        pytest.param("/v1/models", {}, 405, "Method Not Allowed", None, id="wrong method"),
    ],
)
async def test_errors(
    path: str, document: object, status: int, kind: str, param: str | None
) -> None:
    async with lab(replace(FAST, max_model_len_tokens=100)) as it:
        got, body = await it.post(path, document)
    assert got == status
    assert list(body["error"]) == ["message", "type", "param", "code"]
    assert (body["error"]["type"], body["error"]["param"]) == (kind, param)
    assert body["error"]["code"] == status


async def test_a_body_that_is_no_json_is_refused() -> None:
    async with lab() as it, it.http.post("/v1/completions", data=b"{") as response:
        assert response.status == 400
        assert (await response.json())["error"]["code"] == 400


async def test_a_full_queue_answers_503_and_counts_it() -> None:
    async with lab(replace(FAST, max_num_seqs=1, max_queued_requests=0)) as it:
        await it.post("/sim/pause")
        async with asyncio.TaskGroup() as group:
            first = group.create_task(
                it.openai.completions.create(model="tiny", prompt="x", max_tokens=2)
            )
            await it.until(live=1)
            with pytest.raises(openai.InternalServerError) as caught:
                await it.openai.completions.create(model="tiny", prompt="y")
            await it.post("/sim/resume")
        page = await it.page()
    assert caught.value.status_code == 503
    assert first.result().choices[0].text
    name = "vllm:admission_rejections_total"
    assert value(page, name, reason="max_num_queued_reqs") == 1


async def test_a_second_prompt_with_the_same_beginning_hits_the_cache() -> None:
    async with lab() as it:
        for question in "one", "two":
            await it.openai.chat.completions.create(
                model="tiny",
                messages=[
                    {"role": "system", "content": "rule " * 400},
                    {"role": "user", "content": question},
                ],
                max_tokens=2,
            )
        page = await it.page()
        await it.openai.chat.completions.create(
            model="ad0", messages=[{"role": "system", "content": "rule " * 400}], max_tokens=2
        )
        after = await it.page()
    hits = value(page, "vllm:prefix_cache_hits_total")
    assert hits == (1 + 500) // 16 * 16
    assert value(after, "vllm:prefix_cache_hits_total") == hits  # an adapter has its own


async def test_a_conversation_that_goes_on_hits_its_own_answers() -> None:
    async with lab() as it:
        messages: list[Any] = [{"role": "user", "content": "Tell me a story"}]
        first = await it.openai.chat.completions.create(
            model="tiny", messages=messages, max_tokens=200, extra_body={"ignore_eos": True}
        )
        messages.append({"role": "assistant", "content": first.choices[0].message.content})
        messages.append({"role": "user", "content": "Go on"})
        await it.openai.chat.completions.create(model="tiny", messages=messages, max_tokens=2)
        page = await it.page()
    assert value(page, "vllm:prefix_cache_hits_total") == (7 + 200 - 1) // 16 * 16


async def test_a_client_that_goes_away_frees_its_place() -> None:
    async with lab(replace(FAST, speed=1.0)) as it:
        for stream in True, False:
            before = (await it.get("/sim/stats"))["aborted"]
            call = it.http.post(
                "/v1/completions",
                json={"prompt": "x", "max_tokens": 30_000, "ignore_eos": True, "stream": stream},
            )
            async with asyncio.TaskGroup() as group:
                task = group.create_task(call)
                await it.until(live=1)
                if stream:
                    (await task).close()
                else:
                    task.cancel()
            await it.until(live=0, aborted=before + 1)
        ranks = (await it.get("/sim/stats"))["ranks"]
        while ranks[0]["kv_cache_usage"]:
            ranks = (await it.get("/sim/stats"))["ranks"]
    assert (ranks[0]["running"], ranks[0]["waiting"]) == (0, 0)


async def test_gauges_show_running_and_waiting_requests() -> None:
    async with lab(replace(FAST, max_num_seqs=2, speed=1.0)) as it:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(
                    it.openai.completions.create(
                        model=model, prompt="x", max_tokens=3000, extra_body={"ignore_eos": True}
                    )
                )
                for model in ("tiny", "ad0", "ad1")
            ]
            page = await it.page_with("vllm:num_requests_waiting", 1)
            for task in tasks:
                task.cancel()
        assert value(page, "vllm:num_requests_running") == 2
        assert value(page, "vllm:kv_cache_usage_perc") > 0
        assert "vllm:lora_requests_info{" in page


async def test_only_the_path_with_the_slash_filters() -> None:
    names = "name%5B%5D=vllm:num_requests_running&name[]=vllm:generation_tokens_total"
    async with lab() as it:
        await it.openai.completions.create(
            model="tiny", prompt="x", max_tokens=3, extra_body={"ignore_eos": True}
        )
        chosen = await it.page(f"/metrics/?{names}")
        bare = await it.page(f"/metrics?{names}")
        slash = await it.page("/metrics/")
    samples = [line for line in chosen.splitlines() if not line.startswith("#")]
    assert samples == [
        'vllm:num_requests_running{engine="0",model_name="tiny"} 0.0',
        'vllm:generation_tokens_total{engine="0",model_name="tiny"} 3.0',
    ]
    assert min(len(bare), len(slash)) > 40_000
    assert 'http_requests_total{handler="/v1/completions",method="POST",status="2xx"} 1.0' in bare


async def test_ranks_share_one_port() -> None:
    async with lab(replace(FAST, data_parallel_size=2)) as it:
        for rank in "0", "1", "1":
            await it.openai.completions.create(
                model="tiny",
                prompt="x",
                max_tokens=4,
                extra_body={"ignore_eos": True},
                extra_headers={"X-data-parallel-rank": rank},
            )
        page = await it.page()
        with pytest.raises(openai.BadRequestError):
            await it.openai.completions.create(
                model="tiny", prompt="x", extra_headers={"X-data-parallel-rank": "2"}
            )
    assert value(page, "vllm:generation_tokens_total", engine="0") == 4
    assert value(page, "vllm:generation_tokens_total", engine="1") == 8


async def test_what_is_said_of_the_server() -> None:
    async with lab() as it:
        models = [model.id async for model in it.openai.models.list()]
        assert models == ["tiny", "ad0", "ad1"]
        assert await it.get("/version") == {"version": "0.32.0"}
        assert await it.get("/load") == {"server_load": 0}
        for path in "/health", "/ping":
            async with it.http.get(path) as response:
                assert (response.status, await response.read()) == (200, b"")
                assert response.headers["x-served-by"] == "sim-a"


async def test_load_comes_with_the_answer_if_asked_for() -> None:
    async with lab() as it:
        answer = await it.openai.completions.with_raw_response.create(
            model="tiny", prompt="x", extra_headers={"endpoint-load-metrics-format": "JSON"}
        )
    kind, _, report = answer.headers["endpoint-load-metrics"].partition(" ")
    assert kind == "JSON"
    assert list(json.loads(report)["named_metrics"]) == [
        "num_requests_waiting",
        "kv_cache_usage_perc",
    ]


async def test_failures_can_be_asked_for() -> None:
    async with lab() as it:
        await it.post("/sim/fail", {"status": 503, "times": 2})
        for _ in range(2):
            status, _ = await it.post("/v1/completions", {"prompt": "x"})
            assert status == 503
        status, _ = await it.post("/v1/completions", {"prompt": "x"})
        refused, _ = await it.post("/sim/fail", {"status": 200})
    assert (status, refused) == (200, 400)


async def test_requests_can_be_inspected_but_not_read() -> None:
    body = json.dumps({"prompt": "a secret", "max_tokens": 1}).encode()
    async with lab() as it:
        async with it.http.post("/v1/completions", data=body, headers={"X-Trace": "7"}):
            pass
        await it.get("/load")
        await it.post("/v1/unknown?x=1", {})
        seen, unknown = (await it.get("/sim/requests"))["requests"]
    assert unknown["path"] == "/v1/unknown?x=1"
    assert (seen["method"], seen["path"]) == ("POST", "/v1/completions")
    assert ["X-Trace", "7"] in seen["headers"]
    assert seen["body_bytes"] == len(body)
    assert seen["body_sha256"] == hashlib.sha256(body).hexdigest()


async def test_stopping_ends_streams_cleanly_but_unfinished() -> None:
    call = {"prompt": "x", "max_tokens": 30_000, "ignore_eos": True, "stream": True}
    server = SimulatedServer(replace(FAST, speed=1.0))
    await server.start()
    async with (
        aiohttp.ClientSession(server.url) as http,
        http.post("/v1/completions", json=call) as response,
    ):
        await response.content.readuntil(b"\n\n")
        await server.stop()
        rest = await response.read()
    assert b"[DONE]" not in rest
    assert b'"finish_reason":"length"' not in rest


@pytest.mark.parametrize("turns", range(6))
async def test_a_connection_that_comes_as_the_server_stops_is_ended(turns: int) -> None:
    """In whichever turn of the event loop the server finds it; none is forgotten half open."""
    server = SimulatedServer(FAST)
    await server.start()
    with socket.create_connection(("127.0.0.1", server.port), 10.0) as client:
        for _ in range(turns):
            await asyncio.sleep(0)
        await server.stop()
        with suppress(ConnectionResetError):  # it was in the queue of the port
            assert client.recv(1) == b""


async def test_a_taken_port_is_an_error() -> None:
    async with lab() as it:
        with pytest.raises(OSError, match=str(it.server.port)):
            await SimulatedServer(replace(FAST, port=it.server.port)).start()


async def test_one_process_serves_many() -> None:
    async with lab(replace(FAST, name="probe")) as it:
        ports = [it.server.port]
    async with SimulatedServer(FAST) as other:
        ports.append(other.port)
    ready = asyncio.Event()
    settings = [replace(FAST, name=f"sim-{port}", port=port) for port in ports]
    async with asyncio.TaskGroup() as group, aiohttp.ClientSession() as http:
        running = group.create_task(serve(settings, ready.set))
        await ready.wait()
        for port in ports:
            async with http.get(f"http://127.0.0.1:{port}/health") as response:
                assert response.headers["x-served-by"] == f"sim-{port}"
        running.cancel()
    with pytest.raises(OSError, match=r"Connect|refused"):
        await asyncio.open_connection("127.0.0.1", ports[0])
