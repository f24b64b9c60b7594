"""Real Envoy takes every configuration that we generate, and behaves as we say with each of them.

The picker here is a script on grpcio and xds-protos, independent of our own codec and transport.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from urllib.parse import urlsplit

import grpc
import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer
from envoy.config.core.v3.base_pb2 import HeaderValue, HeaderValueOption
from envoy.data.accesslog.v3.accesslog_pb2 import HTTPAccessLogEntry
from envoy.service.accesslog.v3.als_pb2 import StreamAccessLogsResponse
from envoy.service.accesslog.v3.als_pb2_grpc import add_AccessLogServiceServicer_to_server
from envoy.service.ext_proc.v3.external_processor_pb2 import (
    BodyResponse,
    CommonResponse,
    HeaderMutation,
    HeadersResponse,
    ProcessingResponse,
)
from envoy.service.ext_proc.v3.external_processor_pb2_grpc import (
    ExternalProcessorServicer,
    add_ExternalProcessorServicer_to_server,
)
from google.protobuf.struct_pb2 import Struct

from epp.envoyconfig.bootstrap import bootstrap
from epp.envoyconfig.filters import CLIENT_ROUTING_HEADERS
from epp.envoyconfig.settings import Balancing, EnvoySettings, Mode
from tests.helpers.envoy import RunningEnvoy, refusing_port, validate

SETTINGS = EnvoySettings(
    listen_port=0,
    picker_port=9002,
    model_servers=("127.0.0.1:8000", "[::1]:8001"),
    admin_port=0,
)


@pytest.mark.parametrize(
    "version", [(1, 40, 0), (1, 39, 0), (1, 37, 0)], ids=["1.40", "1.39", "1.37"]
)
@pytest.mark.parametrize("fail_open", [True, False], ids=["open", "closed"])
@pytest.mark.parametrize("balancing", list(Balancing))
@pytest.mark.parametrize("mode", list(Mode))
def test_envoy_accepts(mode, balancing, fail_open, version, tmp_path):
    settings = replace(
        SETTINGS, mode=mode, balancing=balancing, fail_open=fail_open, envoy_version=version
    )
    assert validate(bootstrap(settings), tmp_path) == ""


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"picker_tls": True}, id="tls to the picker"),
        pytest.param({"picker_host": "epp.example"}, id="picker with a name"),
        pytest.param({"picker_host": "::1", "listen_host": "::1"}, id="ipv6"),
        pytest.param({"admin_port": None, "subset_hint": False}, id="no admin, no hint"),
        pytest.param({"balancing": Balancing.ORIGINAL_DST, "model_servers": ()}, id="no servers"),
        pytest.param(
            {"model_servers": (), "model_server_names": ("gpus.example:8000",)}, id="names"
        ),
        pytest.param({"admin_port": 19000, "status_port": 19001}, id="status port"),
    ],
)
def test_envoy_accepts_the_rest(change, tmp_path):
    assert validate(bootstrap(replace(SETTINGS, **change)), tmp_path) == ""


def test_envoy_refuses_a_wrong_configuration(tmp_path):
    config = bootstrap(SETTINGS)
    config["static_resources"]["listeners"][0]["no_such_field"] = 1
    assert "no_such_field" in validate(config, tmp_path)


@pytest.fixture
async def server() -> AsyncIterator[TestServer]:
    """A model server that tells which headers and which body reached it, and reports usage."""

    async def tell(request: web.Request) -> web.Response:
        body = await request.text()
        usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
        return web.json_response(
            {
                "object": "chat.completion",
                "model": "llama",
                "choices": [],
                "usage": usage,
                "headers": dict(request.headers),
                "body": body,
            }
        )

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", tell)
    async with TestServer(app, host="127.0.0.1") as running:
        yield running


@pytest.fixture
def without_picker(server: TestServer) -> Iterator[EnvoySettings]:
    with refusing_port() as port:
        yield replace(SETTINGS, picker_port=port, model_servers=(f"127.0.0.1:{server.port}",))


@pytest.mark.parametrize("body", [None, '{"model": "llama"}'], ids=["GET", "POST"])
async def test_light_mode_fails_open_but_never_trusts_the_client(without_picker, body):
    lies = dict.fromkeys(CLIENT_ROUTING_HEADERS, "127.0.0.1:1")
    with RunningEnvoy(bootstrap(without_picker)) as envoy:
        async with ClientSession() as client:
            method = "POST" if body else "GET"
            async with client.request(
                method, f"{envoy.url}/v1/models", data=body, headers={**lies, "x-kept": "yes"}
            ) as answer:
                assert answer.status == 200, await answer.text()
                told = await answer.json()
        stats = envoy.stats()
    assert told["body"] == (body or "")
    reached = {name.lower() for name in told["headers"]}
    assert "x-kept" in reached
    assert not reached & set(CLIENT_ROUTING_HEADERS)
    assert stats["cluster.pool.upstream_rq_200"] == 1
    assert stats["http.gateway.ext_proc.failure_mode_allowed"] >= 1


@pytest.mark.parametrize("mode", list(Mode))
async def test_without_fail_open_a_missing_picker_is_a_503(without_picker, mode):
    settings = replace(without_picker, mode=mode, fail_open=False)
    with RunningEnvoy(bootstrap(settings)) as envoy:
        async with ClientSession() as client, client.post(envoy.url, data="{}") as answer:
            assert answer.status == 503, await answer.text()
        assert "cluster.pool.upstream_rq_200" not in envoy.stats()


async def test_original_dst_without_a_pick_does_not_follow_the_client(without_picker):
    """The header would send Envoy anywhere: nothing but the picker may set it."""
    settings = replace(without_picker, balancing=Balancing.ORIGINAL_DST)
    lie = {"x-gateway-destination-endpoint": settings.model_servers[0]}
    with RunningEnvoy(bootstrap(settings)) as envoy:
        async with ClientSession() as client, client.get(envoy.url, headers=lie) as answer:
            assert answer.status == 503, await answer.text()


async def test_a_body_above_the_limit_is_refused_by_envoy(without_picker):
    settings = replace(without_picker, max_body_bytes=100_000)
    with RunningEnvoy(bootstrap(settings)) as envoy:
        body = b"x" * 1_000_000
        async with ClientSession() as client, client.post(envoy.url, data=body) as answer:
            assert answer.status == 413, await answer.text()
            assert answer.headers["x-llm-d-request-dropped-reason"] == "body-too-large"
            assert answer.content_type == "application/json"
            error = (await answer.json())["error"]
        assert error["code"] == "body-too-large"
        assert error["message"].endswith("the request body is larger than 100000 bytes")


@pytest.mark.parametrize("host", ["", "Host: models.example\r\n"], ids=["no host", "host"])
async def test_a_client_of_http_1_0_is_served(without_picker, host):
    with RunningEnvoy(bootstrap(without_picker)) as envoy:
        where = urlsplit(envoy.url)
        reader, writer = await asyncio.open_connection(where.hostname, where.port)
        writer.write(f"GET /v1/models HTTP/1.0\r\n{host}\r\n".encode())
        async with asyncio.timeout(10):
            answer = await reader.read()
        writer.close()
    assert b" 200 OK\r\n" in answer
    assert b'"object": "chat.completion"' in answer


class ScriptedPicker(ExternalProcessorServicer):
    """Answers every light-mode exchange with one pick, and keeps what Envoy told it."""

    def __init__(self) -> None:
        self.pick = ""
        self.promised: str | None = None  # what the gateway says that it understands
        self.served: dict[str, Struct] = {}  # metadata at the response headers, by namespace
        self.attributes: dict[str, str] = {}
        self.entries: asyncio.Queue[HTTPAccessLogEntry] = asyncio.Queue()

    async def Process(self, requests, context):  # noqa: N802
        self.promised = dict(context.invocation_metadata()).get("x-epp-gateway")
        async for request in requests:
            match request.WhichOneof("request"):
                case "request_headers":
                    yield ProcessingResponse(request_headers=HeadersResponse())
                case "request_body":
                    yield self.routed()
                case "response_headers":
                    self.served = dict(request.metadata_context.filter_metadata)
                    self.attributes = dict(request.attributes["envoy.filters.http.ext_proc"])
                    yield ProcessingResponse(response_headers=HeadersResponse())

    def routed(self) -> ProcessingResponse:
        header = HeaderValue(key="x-gateway-destination-endpoint", raw_value=self.pick.encode())
        mutation = HeaderMutation(set_headers=[HeaderValueOption(header=header)])
        metadata = Struct()
        metadata.update({"envoy.lb": {header.key: self.pick}, "epp": {"nonce": "n-1"}})
        return ProcessingResponse(
            request_body=BodyResponse(response=CommonResponse(header_mutation=mutation)),
            dynamic_metadata=metadata,
        )

    async def StreamAccessLogs(self, requests, context):  # noqa: N802
        async for message in requests:
            for entry in message.http_logs.log_entry:
                self.entries.put_nowait(entry)
        return StreamAccessLogsResponse()


@pytest.fixture
async def picker() -> AsyncIterator[tuple[ScriptedPicker, int]]:
    scripted, grpc_server = ScriptedPicker(), grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    add_ExternalProcessorServicer_to_server(scripted, grpc_server)
    add_AccessLogServiceServicer_to_server(scripted, grpc_server)
    port = grpc_server.add_insecure_port("127.0.0.1:0")
    await grpc_server.start()
    yield scripted, port
    await grpc_server.stop(None)


@pytest.mark.parametrize("balancing", list(Balancing))
async def test_light_mode_follows_the_pick_and_reports_the_rest(picker, server, balancing):
    scripted, port = picker
    alive = f"127.0.0.1:{server.port}"
    with refusing_port() as dead_port:
        dead = f"127.0.0.1:{dead_port}"
        lists = balancing is Balancing.OVERRIDE_HOST
        scripted.pick = f"{dead},{alive}" if lists else alive
        settings = replace(
            SETTINGS, picker_port=port, model_servers=(dead, alive), balancing=balancing
        )
        with RunningEnvoy(bootstrap(settings)) as envoy:
            async with ClientSession() as client, client.post(envoy.url, data="{}") as answer:
                assert answer.status == 200, await answer.text()
            entry = await asyncio.wait_for(scripted.entries.get(), 10)
    assert scripted.promised == ("lists" if lists else None)
    assert scripted.attributes["upstream.address"] == alive
    assert scripted.attributes["response.code_details"] == "via_upstream"
    if lists:
        assert scripted.served["envoy.lb"]["x-gateway-destination-endpoint-served"] == alive
    common = entry.common_properties
    assert common.upstream_request_attempt_count == (2 if lists else 1)
    assert common.upstream_remote_address.socket_address.port_value == server.port
    assert common.metadata.filter_metadata["epp"]["nonce"] == "n-1"
    assert "envoy.ai.token_usage" in common.metadata.typed_filter_metadata
