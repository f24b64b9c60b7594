"""A body router before two pickers, behind a real Envoy that chooses the pool by its header."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import io
import json
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import openai
import pytest
import yaml

from epp.envoyconfig.settings import Mode
from tests.helpers.bodyrouting import (
    BASE_MODEL_HEADER,
    DEFAULT_ROUTE,
    MODEL_HEADER,
    PROCESSING,
    ROUTE_HEADER,
    Chain,
    chained_config,
    running_body_router,
    running_chain,
)
from tests.helpers.envoy import RunningEnvoy
from tests.helpers.gateway import health

MODES = pytest.mark.parametrize("mode", list(Mode))
EACH_PROCESSING = pytest.mark.parametrize("processing", list(PROCESSING))
MODELS = ("model-a", "model-b")
# What a client sends to be led where it has no business.
SPOOFED = (
    *((MODEL_HEADER, "model-a"), ("X-Gateway-Model-Name", "model-a")),
    *((BASE_MODEL_HEADER, "model-a"), ("x-mine", "kept")),
)


async def post(
    chain: Chain, body: bytes, headers: Any = (), path: str = "/tokenize"
) -> tuple[int, str, str]:
    """Status, the route by which it came, and the text."""
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(30)) as session,
        session.post(chain.envoy.url + path, data=io.BytesIO(body), headers=headers) as answer,
    ):
        return answer.status, answer.headers.get(ROUTE_HEADER, ""), await answer.text()


async def seen(chain: Chain, model: str) -> list[dict[str, Any]]:
    """The heads of the POST requests that reached the server of a model, oldest first."""
    url = f"{chain.servers[model].url}/sim/requests"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return [one for one in (await answer.json())["requests"] if one["method"] == "POST"]


def route_of(chain: Chain, model: str) -> str:
    return f"pool-{list(chain.servers).index(model)}"


def headers_of(request: Mapping[str, Any]) -> dict[str, str]:
    return {str(key).lower(): value for key, value in dict(request["headers"]).items()}


def a_body(model: str, size: int, *, last: bool) -> bytes:
    name, prompt = f'"model": {json.dumps(model)}', f'"prompt": "{"ab c" * (size // 4)}"'
    return ("{" + ", ".join((prompt, name) if last else (name, prompt)) + "}").encode()


@MODES
@EACH_PROCESSING
async def test_a_request_of_any_size_reaches_the_pool_of_its_model(
    mode: Mode, processing: str
) -> None:
    async with running_chain(mode, processing) as chain:
        sent = 0
        for size in (100, 10_000, 200_000, 5_000_000):
            for last in (False, True):
                for model in MODELS:
                    body = a_body(model, size, last=last)
                    status, route, _ = await post(chain, body, headers=SPOOFED)
                    assert (status, route) == (200, route_of(chain, model))
                    got = (await seen(chain, model))[-1]
                    assert got["body_sha256"] == hashlib.sha256(body).hexdigest()
                    headers = headers_of(got)
                    if mode is Mode.LIGHT and processing in ("buffered", "on-request"):
                        assert headers["content-length"] == str(len(body))
                    assert headers[MODEL_HEADER] == model
                    assert BASE_MODEL_HEADER not in headers
                    assert headers["x-mine"] == "kept"
                    sent += 1
        assert sum([len(await seen(chain, model)) for model in MODELS]) == sent
        assert chain.router.outcomes() == {"success": sent}
        for picker in chain.pickers.values():
            assert picker.metric("llm_d_epp_request_total") == sent / 2
            assert picker.metric("llm_d_epp_requests_without_pick_total") == 0


@EACH_PROCESSING
async def test_answers_stream_through_and_outlive_the_body_router(processing: str) -> None:
    async with running_chain(Mode.FULL, processing) as chain:
        options: dict[str, Any] = {"api_key": "none", "max_retries": 0, "timeout": 30.0}
        client = openai.AsyncOpenAI(base_url=f"{chain.envoy.url}/v1", **options)
        async with client:
            stream = await client.chat.completions.create(
                model="model-b",
                messages=[{"role": "user", "content": "Say something."}],
                max_tokens=100,
                stream=True,
                stream_options={"include_usage": True},
                extra_body={"ignore_eos": True},
            )
            await anext(stream)
            if processing != "full-both-ways":  # there the answer comes by way of the router
                chain.router.kill()
            chunks = [chunk async for chunk in stream]
            assert chunks[-1].usage is not None
            assert chunks[-1].usage.completion_tokens == 100


@asynccontextmanager
async def a_hasty_server(answer: bytes) -> AsyncIterator[str]:
    """Answers at once, without reading the body. Yields its address."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = b"HTTP/1.1 401 Unauthorized\r\nconnection: close\r\ncontent-length: %d\r\n\r\n"
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(head % len(answer) + answer)
            while await reader.read(65536):
                pass
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        yield f"{host}:{port}"


@EACH_PROCESSING
async def test_an_answer_that_comes_before_the_request_is_over_is_whole(processing: str) -> None:
    answer = "no" * 25_000
    async with a_hasty_server(answer.encode()) as address:
        with running_body_router() as router:
            # No picker is asked: the default route passes them.
            config = chained_config(
                Mode.LIGHT, processing, router.grpc_port, {"m": (router.grpc_port, [address])}
            )
            with RunningEnvoy(config) as envoy:
                chain = Chain(router, envoy, {})
                for size in (10_000, 60_000, 300_000):
                    for _ in range(20):
                        status, route, text = await post(chain, b"x" * size)
                        assert (status, route) == (401, DEFAULT_ROUTE)
                        assert text == answer


@EACH_PROCESSING
async def test_a_request_without_a_model_passes_unchanged_and_without_the_header(
    processing: str,
) -> None:
    bodies = {
        "missing": b'{"prompt": "hi"}',
        "not-json": b"model=model-b",
        "unreadable": b'{"model": "a\\r\\nx-evil: 1"}',
    }
    async with running_chain(Mode.LIGHT, processing) as chain:
        for body in bodies.values():
            _, route, _ = await post(chain, body, SPOOFED)
            assert route == DEFAULT_ROUTE
            got = (await seen(chain, "model-a"))[-1]
            assert got["body_sha256"] == hashlib.sha256(body).hexdigest()
            assert not headers_of(got).keys() & {MODEL_HEADER, BASE_MODEL_HEADER, "x-evil"}
        url = f"{chain.envoy.url}/v1/models"
        async with aiohttp.ClientSession() as session, session.get(url, headers=SPOOFED) as answer:
            assert (answer.status, answer.headers[ROUTE_HEADER]) == (200, DEFAULT_ROUTE)
        assert chain.router.outcomes() == {**dict.fromkeys(bodies, 1), "no-body": 1}


@EACH_PROCESSING
async def test_an_encoded_body_passes_untouched(processing: str) -> None:
    plain = a_body("model-b", 300_000, last=False)
    body = gzip.compress(plain)
    async with running_chain(Mode.LIGHT, processing) as chain:
        headers = (*SPOOFED, ("content-encoding", "gzip"))
        _, route, _ = await post(chain, body, headers)
        assert route == DEFAULT_ROUTE
        [got] = await seen(chain, "model-a")
        assert headers_of(got)["content-encoding"] == "gzip"
        assert got["body_sha256"] == hashlib.sha256(plain).hexdigest()  # the server unpacks it
        assert chain.router.outcomes() == {"not-read": 1}


@EACH_PROCESSING
async def test_names_with_escapes_and_beyond_ascii(processing: str) -> None:
    models = ("org/модель-é", "a b/c:d")
    async with running_chain(Mode.LIGHT, processing, models=models) as chain:
        for model in models:
            for ascii_only in (True, False):
                body = json.dumps({"model": model, "prompt": "x"}, ensure_ascii=ascii_only)
                escaped = body.encode().replace(b'"model"', b'"m\\u006fdel"').replace(b"/", b"\\/")
                status, route, _ = await post(chain, escaped)
                assert (status, route) == (200, route_of(chain, model))


@EACH_PROCESSING
async def test_a_body_with_two_models_reaches_nobody(processing: str) -> None:
    padding = b"x" * 400_000
    body = b'{"model": "model-a", "prompt": "%s", "model": "model-b"}' % padding
    async with running_chain(Mode.FULL, processing) as chain:
        status, _, text = await post(chain, body)
        assert status == 400
        assert "`model` twice" in text
        assert [await seen(chain, model) for model in MODELS] == [[], []]
        assert chain.router.outcomes() == {"contradicted": 1}


async def with_trailers(chain: Chain, body: bytes) -> bytes:
    """A request in HTTP chunks that ends with a trailer. Returns the whole answer."""
    host, _, port = chain.envoy.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        b"POST /tokenize HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
        b"content-type: application/json\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n"
    )
    half = len(body) // 2
    for piece in (body[:half], body[half:]):
        writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        await writer.drain()
        await asyncio.sleep(0.05)
    writer.write(b"0\r\nx-sum: 1\r\n\r\n")
    await writer.drain()
    async with asyncio.timeout(20):
        answer = await reader.read()
    writer.close()
    return answer


@EACH_PROCESSING
async def test_a_request_with_trailers(processing: str) -> None:
    # With retries Envoy 1.40 sends twice what a processor gives back after the trailers came.
    async with running_chain(Mode.FULL, processing, retries=False) as chain:
        for size in (100, 300_000):
            body = a_body("model-b", size, last=True)
            answer = await with_trailers(chain, body)
            assert answer.startswith(b"HTTP/1.1 200"), answer[-600:]
            assert b"x-route: pool-1" in answer
            got = (await seen(chain, "model-b"))[-1]
            assert got["body_sha256"] == hashlib.sha256(body).hexdigest()


@pytest.mark.parametrize("processing", ["full", "buffered"])
async def test_requests_at_the_same_time_do_not_mix(processing: str) -> None:
    async with running_chain(Mode.FULL, processing) as chain:

        async def one(number: int) -> None:
            model = MODELS[number % 2]
            body = a_body(model, 2000 * number + 8, last=number % 3 == 0)
            assert (await post(chain, body))[:2] == (200, route_of(chain, model))

        async with asyncio.TaskGroup() as group:
            for number in range(100):
                group.create_task(one(number))
        assert chain.router.outcomes() == {"success": 100}
        assert chain.router.metrics()["bbr_processing_duration_seconds_count"] == 100


async def test_a_body_whose_model_does_not_come_within_the_limit_is_a_413() -> None:
    async with running_chain(Mode.LIGHT, "full", flags=("--max-body-bytes", "100Ki")) as chain:
        status, _, text = await post(chain, a_body("model-a", 1_000_000, last=True))
        assert status == 413
        assert "102400 bytes" in text
        # What flows needs no limit.
        body = a_body("model-a", 1_000_000, last=False)
        assert (await post(chain, body))[:2] == (200, "pool-0")


async def test_an_adapter_leads_to_its_base_model(tmp_path: Path) -> None:
    file = tmp_path / "models.yaml"
    entries = [{"baseModel": "base", "adapters": ["model-a"]}]
    file.write_text(yaml.safe_dump({"baseModels": entries}))
    flags = ("--base-model-map", str(file))
    async with running_chain(Mode.LIGHT, "full", flags=flags) as chain:
        for model, base in (("model-a", "base"), ("model-b", None)):
            await post(chain, a_body(model, 10, last=False), SPOOFED)
            assert headers_of((await seen(chain, model))[-1]).get(BASE_MODEL_HEADER) == base
        assert chain.router.metrics()["bbr_base_model_not_found_total"] == 1
        assert chain.router.metrics()["bbr_base_model_names"] == 2


async def test_health_and_drain() -> None:
    with running_body_router(("--drain-timeout", "1s")) as router:
        for service in ("", "readiness", "liveness", "inference-extension"):
            assert await health(router.health_port, service) == "SERVING"
        router.signal(signal.SIGTERM)
        assert await health(router.health_port) == "NOT_SERVING"
        assert router.wait(10) == 0
        assert [line["msg"] for line in router.lines()] == ["serving", "draining", "stopped"]
