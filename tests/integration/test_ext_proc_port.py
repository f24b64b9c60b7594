"""The ext-proc port of a real picker process, asked by a gateway that does not use our codec."""

from __future__ import annotations

import asyncio
import datetime
import json
import signal
import socket
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import grpc.aio
import pytest

from epp.extproc.transport.tls import Certificates
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
    health,
    request_body,
    request_headers,
    request_trailers,
    response_body,
    response_headers,
)
from tests.helpers.picker import TRANSPORT_VARIABLE, PickerProcess, running_picker

APIS = (
    *("/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages"),
    *("/v1/embeddings", "/inference/v1/generate", "/v1/conversations"),
)
MODES = pytest.mark.parametrize("mode", [FULL, BUFFERED], ids=["full", "light"])


@pytest.fixture(autouse=True, params=["http2", "grpcio"])
def transport(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every test here holds on each transport."""
    monkeypatch.setenv(TRANSPORT_VARIABLE, request.param)
    return str(request.param)


@asynccontextmanager
async def servers(count: int = 2) -> AsyncIterator[list[str]]:
    running = [SimulatedServer(ServerSettings(name=f"s{n}")) for n in range(count)]
    try:
        for one in running:
            await one.start()
        yield [f"127.0.0.1:{one.port}" for one in running]
    finally:
        for one in running:
            await one.stop()


@asynccontextmanager
async def picking(
    *,
    document: Mapping[str, object] | None = None,
    flags: Sequence[str] = (),
    lists: bool = False,
    window_bytes: int | None = None,
) -> AsyncIterator[tuple[Gateway, PickerProcess, list[str]]]:
    async with servers() as pool:
        with running_picker(pool, document=document, flags=flags) as picker:
            port = picker.grpc_port
            async with a_gateway(port, lists=lists, window_bytes=window_bytes) as gateway:
                yield gateway, picker, pool


async def routed(call: Call, mode: int = FULL) -> str:
    """Plays a request to its decision. Returns the pick."""
    if mode == FULL:
        reply = await call.ask(request_headers(FULL), request_body(BODY))
        piece = await call.receive()
        streamed = piece.request_body.response.body_mutation.streamed_response
        assert (streamed.body, streamed.end_of_stream) == (BODY, True)
    else:
        first = await call.ask(request_headers(mode))
        assert first.WhichOneof("response") == "request_headers"
        reply = await call.ask(request_body(BODY))
    return destination(reply)


async def shows(picker: PickerProcess, family: str, value: float, **labels: str) -> None:
    """Waits until a metric has this value."""
    for _ in range(100):
        found = await asyncio.to_thread(picker.metric, family, **labels)
        if found == value:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"{family} is {found}, not {value}")


async def held(picker: PickerProcess, count: int) -> None:
    """Waits until so many requests are accounted for."""
    await shows(picker, "llm_d_epp_endpoint_inflight_requests", count)


def asked_of(path: str, text: str, more: str) -> dict[str, object]:
    """A long text that several requests share, and a short one."""
    turns = [{"role": "user", "content": text}, {"role": "user", "content": more}]
    ids = [*text.encode(), *more.encode()]
    fields: Mapping[str, dict[str, object]] = {
        "/v1/chat/completions": {"messages": turns},
        "/v1/completions": {"prompt": text + more},
        "/v1/responses": {"instructions": text, "input": more},
        "/v1/messages": {"system": [{"type": "text", "text": text}], "messages": turns[1:]},
        "/v1/embeddings": {"input": [text, more]},
        "/inference/v1/generate": {"token_ids": ids},
        "/v1/conversations": {"items": turns},
    }
    return {"model": "sim", **fields[path]}


@pytest.mark.parametrize("path", APIS)
async def test_a_prompt_goes_back_to_who_has_its_prefix_whatever_the_api(path: str) -> None:
    async with picking() as (gateway, picker, _pool):
        picks: dict[int, set[str]] = {}
        for turn in range(6):
            for conversation in range(3):
                body = asked_of(path, f"Conversation {conversation}. " * 100, f"Turn {turn}.")
                call = gateway.open()
                first = await call.ask(request_headers(BUFFERED, path=path))
                assert first.WhichOneof("response") == "request_headers"
                picked = destination(await call.ask(request_body(json.dumps(body).encode())))
                picks.setdefault(conversation, set()).add(picked)
                await call.ask(response_headers(200))
                await call.half_close()
                assert await call.receive() is None
        assert all(len(picked) == 1 for picked in picks.values()), picks
        lines = picker.request_lines()
        assert all(line["cached_tokens_estimate"] > 0 for line in lines[3:])


@MODES
async def test_each_end_of_an_exchange_leaves_nothing_behind(mode: int) -> None:
    async with picking() as (gateway, picker, pool):
        after_request, cancelled, complete = (gateway.open() for _ in range(3))
        for call in (after_request, cancelled, complete):
            assert await routed(call, mode) in pool
        await held(picker, 3)
        await after_request.half_close()  # a gateway that wants only the decision
        assert await after_request.receive() is None
        cancelled.cancel()
        await complete.ask(response_headers(200))
        if mode == FULL:
            await complete.ask(response_body(b"x", True))
        await complete.half_close()
        assert await complete.receive() is None
        assert (await complete.status())[0] is grpc.StatusCode.OK
        await held(picker, 0)


async def test_the_reservation_moves_to_who_really_served() -> None:
    async with picking(lists=True) as (gateway, picker, pool):
        call = gateway.open()
        listed = (await routed(call)).split(",")
        assert sorted(listed) == sorted(pool)
        await call.ask(response_headers(200, served=listed[1]))
        name = f"s{pool.index(listed[1])}"
        await shows(picker, "llm_d_epp_endpoint_inflight_requests", 1, endpoint_name=name)
        call.cancel()
        await held(picker, 0)


async def test_one_endpoint_is_named_to_a_gateway_that_does_not_take_lists() -> None:
    async with picking() as (gateway, _, pool):
        assert await routed(gateway.open()) in pool


@pytest.mark.parametrize("form", ["list", "string", "address-only"])
async def test_the_subset_hint_binds(form: str) -> None:
    async with picking() as (gateway, _, pool):
        wanted = pool[1]
        subset: object = {"list": [wanted], "string": f"{wanted}, 10.1.1.1:1"}.get(
            form, ["127.0.0.1"]
        )
        for _ in range(4):
            call = gateway.open()
            reply = await call.ask(
                request_headers(path="/health", method="GET", end_of_stream=True, subset=subset)
            )
            pick = destination(reply)
            assert pick == wanted or form == "address-only"
        call = gateway.open()
        reply = await call.ask(request_headers(end_of_stream=True, subset=["10.9.9.9:80"]))
        assert reply.immediate_response.status.code == 503


async def test_trailers_are_answered_last() -> None:
    async with picking() as (gateway, _, pool):
        call = gateway.open()
        reply = await call.ask(
            request_headers(), request_body(BODY, end_of_stream=False), request_trailers()
        )
        assert destination(reply) in pool
        piece = await call.receive()
        assert not piece.request_body.response.body_mutation.streamed_response.end_of_stream
        assert (await call.receive()).WhichOneof("response") == "request_trailers"


async def test_a_request_id_is_kept_or_made() -> None:
    async with picking() as (gateway, _, _):
        for given in ("", "mine"):
            headers = [("x-request-id", given)]
            reply = await gateway.open().ask(request_headers(headers=headers, end_of_stream=True))
            options = reply.request_headers.response.header_mutation.set_headers
            made = [o.header.raw_value for o in options if o.header.key == "x-request-id"]
            assert len(made) == (0 if given else 1)
            assert all(made)


async def test_compressed_and_large_messages() -> None:
    async with picking() as (gateway, _, pool):
        body = b'{"model": "sim", "prompt": "' + b"x" * (20 << 20) + b'"}'
        call = gateway.open(grpc.Compression.Gzip)
        await call.ask(request_headers(BUFFERED, path="/v1/completions"))
        assert destination(await call.ask(request_body(body))) in pool


async def test_a_message_over_the_limit_ends_the_stream_only() -> None:
    async with picking(flags=["--grpc-max-recv-msg-size=1Mi"]) as (gateway, picker, _):
        call = gateway.open()
        await call.ask(request_headers(BUFFERED))
        with pytest.raises(grpc.aio.AioRpcError):
            await call.ask(request_body(b"x" * (2 << 20)))
        assert (await call.status())[0] is grpc.StatusCode.RESOURCE_EXHAUSTED
        last = gateway.open()
        await routed(last)
        last.cancel()
        await held(picker, 0)


@pytest.mark.parametrize(
    ("pieces", "window_bytes"),
    [(1, None), (7, None), (5000, None), (1, 1 << 16), (90, 1 << 16)],  # 64 KiB: as charts set it
)
async def test_five_megabytes_in_any_pieces_come_back_byte_for_byte(
    pieces: int, window_bytes: int | None
) -> None:
    async with picking(window_bytes=window_bytes) as (gateway, _, _):
        body = b'{"model": "sim", "prompt": "' + bytes(range(97, 123)) * 200_000 + b'"}'
        size = len(body) // pieces + 1
        call = gateway.open()

        async def send() -> None:
            await call.send(request_headers(path="/v1/completions"))
            for start in range(0, len(body), size):
                await call.send(request_body(body[start : start + size], False))
            await call.send(request_body(b""))

        sending = asyncio.ensure_future(send())
        destination(await call.receive())
        echoed = b""
        while True:
            piece = (await call.receive()).request_body.response.body_mutation.streamed_response
            assert len(piece.body) <= 64 << 10
            echoed += piece.body
            if piece.end_of_stream:
                break
        await sending
        assert echoed == body


@pytest.mark.parametrize(
    ("message", "code"),
    [
        pytest.param(b"\xff\xff\xff", grpc.StatusCode.INVALID_ARGUMENT, id="no-message"),
        pytest.param(
            request_body(b"x"), grpc.StatusCode.FAILED_PRECONDITION, id="body-before-headers"
        ),
    ],
)
async def test_what_a_gateway_must_not_send(message: object, code: grpc.StatusCode) -> None:
    async with picking() as (gateway, picker, _):
        call = gateway.open()
        with pytest.raises(grpc.aio.AioRpcError):
            await call.ask(message)
        assert (await call.status())[0] is code
        await held(picker, 0)


ONE_PLACE = {
    "plugins": [
        {"type": "queue-scorer"},
        {"type": "concurrency-detector", "parameters": {"maxConcurrency": 1}},
    ],
    "flowControl": {"saturationDetector": {"pluginRef": "concurrency-detector"}},
}


@MODES
async def test_who_waits_gets_the_place_that_becomes_free(mode: int) -> None:
    async with picking(document=ONE_PLACE) as (gateway, picker, _):
        running = [gateway.open() for _ in range(2)]
        for call in running:
            await routed(call, mode)
        waiting = gateway.open()
        if mode == FULL:
            await waiting.send(request_headers(FULL), request_body(BODY))
        else:
            await waiting.ask(request_headers(BUFFERED))
            reply = await waiting.ask(request_body(BODY))
            assert reply.WhichOneof("response") is None
            assert 60 < reply.override_message_timeout.ToSeconds() < 660
        await shows(picker, "llm_d_epp_flow_control_queue_size", 1)
        running[0].cancel()
        destination(await waiting.receive())
        waiting.cancel()
        running[1].cancel()
        await held(picker, 0)


async def test_priorities_go_first_and_follow_the_trust_setting() -> None:
    objectives = {"routing": {"objectives": [{"name": "gold", "priority": 9}]}}
    for trust, first in (("client", "gold"), ("gateway", "plain")):
        routing = {**objectives["routing"], "controlHeaders": trust}
        async with picking(document={**ONE_PLACE, "routing": routing}) as (gateway, _, _):
            running = [gateway.open() for _ in range(2)]
            for call in running:
                await routed(call)
            order: list[str] = []

            async def wait(name: str, call: Call, order: list[str] = order) -> None:
                header = [("x-gateway-inference-objective", "gold")] if name == "gold" else []
                await call.send(request_headers(headers=header), request_body(BODY))
                destination(await call.receive())
                order.append(name)

            async with asyncio.TaskGroup() as group:
                for name in ("plain", "gold"):
                    group.create_task(wait(name, gateway.open()))
                    await asyncio.sleep(0.2)
                running[0].cancel()
                await asyncio.sleep(0.5)
                running[1].cancel()
            assert order[0] == first


# Health, drain, TLS.


async def test_health_by_name() -> None:
    async with picking() as (_, picker, _):
        for name in ("", "readiness", "liveness", "inference-extension"):
            assert await health(picker.health_port, name) == "SERVING", name
        name = "envoy.service.ext_proc.v3.ExternalProcessor"
        assert await health(picker.health_port, name) == "SERVING"
        assert await health(picker.health_port, "no-such") == "NOT_FOUND"
        assert await health(picker.grpc_port) == "UNIMPLEMENTED"


async def test_health_on_the_ext_proc_port_when_asked_for() -> None:
    async with picking(flags=["--health-checking"]) as (_, picker, _):
        assert await health(picker.grpc_port) == "SERVING"


async def test_a_drain_serves_on_and_ends_with_streams_still_open() -> None:
    flags = ["--drain-timeout=2s"]
    async with picking(flags=flags, document=ONE_PLACE) as (gateway, picker, pool):
        running = [gateway.open() for _ in range(2)]
        for call in running:
            await routed(call)
        waiting = gateway.open()
        await waiting.send(request_headers(), request_body(BODY))
        picker.signal(signal.SIGTERM)
        for _ in range(100):
            if await health(picker.health_port) == "NOT_SERVING":
                break
            await asyncio.sleep(0.02)
        assert await health(picker.health_port) == "NOT_SERVING"
        assert await health(picker.health_port, "liveness") == "SERVING"
        running[0].cancel()  # its place goes on to the one that waits, drain or not
        assert destination(await waiting.receive()) in pool
        late = gateway.open()
        refused = await late.ask(request_headers(), request_body(BODY))
        assert refused.immediate_response.status.code == 503
        reasons = {
            o.header.key: o.header.raw_value for o in refused.immediate_response.headers.set_headers
        }
        assert reasons["x-llm-d-request-dropped-reason"] == b"rejected-shutting-down"
        assert await asyncio.to_thread(picker.wait) == 0


async def test_what_comes_as_a_drain_ends_is_placed_or_not_taken_but_not_refused() -> None:
    """A gateway cannot know the moment; if not taken, it asks elsewhere or goes on without."""
    async with picking(flags=["--drain-timeout=1s"]) as (gateway, picker, pool):
        asked = request_headers(path="/health", method="GET", end_of_stream=True)

        async def ask_until_it_ends() -> int:
            picks = 0
            while True:
                call = gateway.open()
                try:
                    reply = await call.ask(asked)
                    if reply is None:
                        return picks
                    assert destination(reply) in pool
                    await call.half_close()
                    assert await call.receive() is None
                except (grpc.aio.AioRpcError, grpc.aio.InternalError, asyncio.InvalidStateError):
                    return picks
                picks += 1

        async with asyncio.TaskGroup() as group:
            users = [group.create_task(ask_until_it_ends()) for _ in range(20)]
            await asyncio.sleep(0.1)
            picker.signal(signal.SIGTERM)
        assert sum(user.result() for user in users) > 0
        assert await asyncio.to_thread(picker.wait) == 0


async def test_an_interrupt_stops_at_once() -> None:
    async with picking(flags=["--drain-timeout=60s"]) as (_, picker, _):
        picker.signal(signal.SIGINT)
        assert await asyncio.to_thread(picker.wait) == 0


def certificate(folder: Path) -> bytes:
    """Writes a fresh pair. Returns its certificate."""
    key, chain = Certificates.self_signed(datetime.datetime.now(datetime.UTC)).current()
    (folder / "tls.key").write_bytes(key)
    (folder / "tls.crt").write_bytes(chain)
    return chain


async def test_tls_with_a_given_certificate_that_is_renewed(tmp_path: Path) -> None:
    first = certificate(tmp_path)
    flags = ["--secure-serving", f"--cert-path={tmp_path}", "--enable-cert-reload"]
    async with servers() as pool:
        with running_picker(pool, flags=flags) as picker:
            for chain in (first, certificate(tmp_path)):
                trust = grpc.ssl_channel_credentials(chain)
                async with a_gateway(picker.grpc_port, credentials=trust) as gateway:
                    if chain is first:
                        with pytest.raises(grpc.aio.AioRpcError):
                            await routed(gateway.open())
                    else:
                        assert await routed(gateway.open()) in pool


async def test_tls_is_self_signed_by_default() -> None:
    async with servers() as pool:
        with running_picker(pool, flags=["--secure-serving=true"]) as picker:
            chain = await asyncio.to_thread(
                ssl.get_server_certificate, ("127.0.0.1", picker.grpc_port)
            )
            trust = grpc.ssl_channel_credentials(chain.encode())
            async with a_gateway(picker.grpc_port, credentials=trust) as gateway:
                assert await routed(gateway.open()) in pool


def tls_handshake(port: int, suite: str, newest: ssl.TLSVersion) -> str:
    """The suite that was agreed on. Raises ssl.SSLError or OSError where the port refuses."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.maximum_version = newest
    context.set_ciphers(suite)
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection(("127.0.0.1", port), 10.0) as raw,
        context.wrap_socket(raw) as secure,
    ):
        return (secure.cipher() or ("",))[0]


async def test_the_cipher_suites_of_tls_1_2_can_be_chosen() -> None:
    """By default the certificate has an elliptic key; here it must have one for RSA."""
    old = ssl.TLSVersion.TLSv1_2
    suites = "--tls-cipher-suites=TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,TLS_AES_128_GCM_SHA256"
    async with servers() as pool:
        with running_picker(pool, flags=["--secure-serving=true", suites]) as picker:
            port = picker.grpc_port
            chosen = "ECDHE-RSA-AES128-GCM-SHA256"
            assert await asyncio.to_thread(tls_handshake, port, chosen, old) == chosen
            other = "ECDHE-RSA-AES256-GCM-SHA384"
            with pytest.raises((ssl.SSLError, ConnectionResetError)):
                await asyncio.to_thread(tls_handshake, port, other, old)
            newer = await asyncio.to_thread(tls_handshake, port, chosen, ssl.TLSVersion.TLSv1_3)
            assert newer.startswith("TLS_")


async def test_only_tls_1_3(transport: str) -> None:
    if transport == "grpcio":
        pytest.skip("grpcio always takes TLS 1.2 as well; the flags refuse the combination")
    flags = ["--secure-serving=true", "--tls-min-version=VersionTLS13"]
    suite = "ECDHE-ECDSA-AES128-GCM-SHA256"
    async with servers() as pool:
        with running_picker(pool, flags=flags) as picker:
            port = picker.grpc_port
            await asyncio.to_thread(tls_handshake, port, suite, ssl.TLSVersion.TLSv1_3)
            with pytest.raises(ssl.SSLError):
                await asyncio.to_thread(tls_handshake, port, suite, ssl.TLSVersion.TLSv1_2)


async def test_streams_are_counted_where_asked_for(transport: str) -> None:
    name = "llm_d_epp_extproc_streams_inflight"
    async with picking() as (_, picker, _):
        assert name not in await asyncio.to_thread(picker.metrics)
    async with picking(flags=["--enable-grpc-stream-metrics"]) as (gateway, picker, _):
        call = gateway.open()
        await routed(call)
        assert (await asyncio.to_thread(picker.metrics))[name] == 1
        call.cancel()
        await shows(picker, name, 0)
        code = "Canceled" if transport == "http2" else "OK"  # grpcio says that it ended
        await shows(picker, "llm_d_epp_extproc_streams_total", 1, code=code)
        await shows(picker, "llm_d_epp_extproc_stream_duration_seconds_count", 1)


async def test_the_page_says_how_long_plugins_take() -> None:
    async with picking() as (gateway, picker, _):
        await routed(gateway.open())
        labels = {"extension_point": "Scorer", "plugin_type": "queue-scorer"}
        for name in ("llm_d_epp", "inference_extension"):
            await shows(picker, f"{name}_plugin_duration_seconds_count", 1, **labels)
        sums = await asyncio.to_thread(picker.metric, "llm_d_epp_plugin_duration_seconds_sum")
        assert sums > 0
