"""Traces of a real picker, at a receiver that decodes the official OTLP messages."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from epp.envoyconfig.settings import Mode
from epp.simulation.server import SimulatedServer
from epp.simulation.settings import ServerSettings
from tests.helpers.gateway import (
    BODY,
    BUFFERED,
    FULL,
    Call,
    a_gateway,
    destination,
    request_body,
    request_headers,
    response_body,
    response_headers,
)
from tests.helpers.picker import (
    TRANSPORT_VARIABLE,
    PickerProcess,
    running_picker,
    running_stack,
)
from tests.helpers.process import free_ports
from tests.helpers.traces import a_grpc_collector, an_http_collector

TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED, UNSAMPLED = f"00-{TRACE}-{CALLER}-01", f"00-{TRACE}-{CALLER}-00"
SELECTION = ("test-epp-endpoint-selection", "127.0.0.1")
DOCUMENT = {
    "plugins": [
        {"type": "queue-scorer", "name": "short-queue"},
        {"type": "prefix-cache-scorer"},
        {"type": "header-based-testing-filter"},
    ],
    "schedulingProfiles": [
        {
            "name": "usual",
            "plugins": [
                {"pluginRef": "header-based-testing-filter"},
                {"pluginRef": "short-queue", "weight": 2},
                {"pluginRef": "prefix-cache-scorer"},
            ],
        }
    ],
}


def variables(port: int, protocol: str = "grpc", **more: str) -> dict[str, str]:
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
        "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        "OTEL_BSP_SCHEDULE_DELAY": "50",
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test",
        **more,
    }


@asynccontextmanager
async def picking(environment: Mapping[str, str]) -> AsyncIterator[PickerProcess]:
    """With two servers to pick; what they answer is played here."""
    servers = [SimulatedServer(ServerSettings(name=name)) for name in ("s0", "s1")]
    async with AsyncExitStack() as stack:
        for server in servers:
            await server.start()
            stack.push_async_callback(server.stop)
        addresses = [f"127.0.0.1:{server.port}" for server in servers]
        with running_picker(addresses, document=DOCUMENT, environment=environment) as picker:
            yield picker


async def exchanged(
    call: Call, headers: Sequence[tuple[str, str]], mode: int = FULL, status: int = 200
) -> dict[str, str]:
    """A request played to its end. Returns the headers that its pick came with."""
    head = request_headers(mode, headers=[SELECTION, *headers])
    if mode == FULL:
        reply = await call.ask(head, request_body(BODY))
        await call.receive()
    else:
        await call.ask(head)
        reply = await call.ask(request_body(BODY))
    await call.ask(response_headers(status))
    if mode == FULL:
        await call.ask(response_body(b"{}", end_of_stream=True))
    await call.half_close()
    assert await call.receive() is None
    return carried(reply)


def carried(reply: Any) -> dict[str, str]:
    destination(reply)
    common = getattr(reply, reply.WhichOneof("response")).response
    return {
        option.header.key: option.header.raw_value.decode()
        for option in common.header_mutation.set_headers
    }


async def one_exchange(
    picker: PickerProcess,
    *headers: tuple[str, str],
    mode: int = FULL,
    status: int = 200,
) -> dict[str, str]:
    async with a_gateway(picker.grpc_port) as gateway:
        return await exchanged(gateway.open(), headers, mode, status)


@pytest.mark.parametrize("transport", ["http2", "grpcio"])
@pytest.mark.parametrize("mode", [FULL, BUFFERED], ids=["full", "light"])
@pytest.mark.parametrize(
    ("collecting", "protocol"),
    [(a_grpc_collector, "grpc"), (an_http_collector, "http/protobuf")],
    ids=["grpc", "http"],
)
async def test_a_request_of_a_sampled_trace_is_told_span_by_span(
    monkeypatch: pytest.MonkeyPatch, transport: str, mode: int, collecting: Any, protocol: str
) -> None:
    monkeypatch.setenv(TRANSPORT_VARIABLE, transport)
    with collecting() as collector:
        async with picking(variables(collector.port, protocol)) as picker:
            sent = await one_exchange(
                *(picker, ("traceparent", SAMPLED), ("tracestate", "a=1"), ("x-request-id", "r1")),
                mode=mode,
            )
            spans = await asyncio.to_thread(collector.trace, TRACE)
            assert parents(spans) == {
                "llm_d.epp.scorer.queue-scorer": "llm_d.epp.scoring",
                "llm_d.epp.scorer.prefix-cache-scorer": "llm_d.epp.scoring",
                "filter_endpoints": "run_scheduler_profile",
                "llm_d.epp.scoring": "run_scheduler_profile",
                "pick_endpoints": "run_scheduler_profile",
                "run_scheduler_profile": "gateway.request_orchestration",
                "gateway.request_orchestration": "gateway.request",
                "gateway.request": CALLER,
            }
            first = spans["gateway.request"]
            assert first.attributes == {
                "gen_ai.request.id": "r1",
                "gen_ai.request.model": "sim",
                "http.response.status_code": 200,
                "llm_d.epp.endpoint": sent["x-gateway-destination-endpoint"],
            }
            assert sent["traceparent"] == f"00-{TRACE}-{first.span.span_id.hex()}-01"
            assert "tracestate" not in sent  # the gateway sends the client's on
            assert {s.span.trace_state for s in spans.values()} == {"a=1"}
            assert first.resource["service.name"] == "llm-d-epp"
            assert first.resource["deployment.environment.name"] == "test"
            await counted(picker, "exported", len(spans))
            assert (await logged(picker))["trace_id"] == TRACE


def parents(spans: Mapping[str, Any]) -> dict[str, str]:
    """By name; of the first span, the id of its parent."""
    names = {one.span.span_id: name for name, one in spans.items()}
    return {
        name: names.get(one.span.parent_span_id, one.span.parent_span_id.hex())
        for name, one in spans.items()
    }


async def logged(picker: PickerProcess) -> dict[str, Any]:
    """The first line of a request, which a thread writes in a while."""
    for _ in range(200):
        if lines := picker.request_lines():
            return lines[0]
        await asyncio.sleep(0.05)
    raise AssertionError("no request is in the log")


async def counted(picker: PickerProcess, result: str, least: int) -> None:
    """Waits until so many spans came to this."""
    for _ in range(200):
        found = await asyncio.to_thread(picker.metric, "llm_d_epp_trace_spans_total", result=result)
        if found >= least:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"{found} spans are {result}, not {least}")


async def test_what_a_span_says() -> None:
    with a_grpc_collector() as collector:
        async with picking(variables(collector.port)) as picker:
            sent = await one_exchange(picker, ("traceparent", SAMPLED))
            spans = await asyncio.to_thread(collector.trace)
    prefix = "llm_d.epp"
    assert spans["run_scheduler_profile"].attributes == {
        f"{prefix}.scheduling.profile.name": "usual"
    }
    assert spans["filter_endpoints"].attributes == {
        f"{prefix}.filter.candidate_endpoints": 2,
        f"{prefix}.filter.filtered_endpoints": 1,
    }
    assert spans["llm_d.epp.scoring"].attributes == {
        f"{prefix}.scorer.count": 2,
        f"{prefix}.scoring.candidate_endpoints": 1,
    }
    scorer = spans["llm_d.epp.scorer.queue-scorer"].attributes
    assert scorer.pop(f"{prefix}.scorer.score.max") >= scorer.pop(f"{prefix}.scorer.score.avg")
    assert scorer == {
        f"{prefix}.scorer.type": "queue-scorer",
        f"{prefix}.scorer.name": "short-queue",
        f"{prefix}.scorer.weight": 2.0,
        f"{prefix}.scorer.candidate_endpoints": 1,
        f"{prefix}.scorer.endpoints_scored": 1,
    }
    pick = spans["pick_endpoints"].attributes
    assert pick[f"{prefix}.picker.top_endpoints"] == [sent["x-gateway-destination-endpoint"]]
    assert len(pick[f"{prefix}.picker.top_scores"]) == 1
    asked = spans["gateway.request_orchestration"]
    assert (asked.attributes["target_model"], asked.attributes["request_prio"]) == ("sim", 0)
    assert asked.scope.endswith("/requestcontrol")
    for one in spans.values():
        outer = next((s for s in spans.values() if s.span.span_id == one.span.parent_span_id), one)
        assert outer.span.start_time_unix_nano <= one.span.start_time_unix_nano
        assert one.span.start_time_unix_nano <= one.span.end_time_unix_nano
        assert one.span.end_time_unix_nano <= outer.span.end_time_unix_nano


async def test_an_answer_that_fails_is_an_error() -> None:
    with a_grpc_collector() as collector:
        async with picking(variables(collector.port)) as picker:
            await one_exchange(picker, ("traceparent", SAMPLED), status=503)
            first = (await asyncio.to_thread(collector.trace))["gateway.request"]
            assert first.span.status.code == first.span.status.STATUS_CODE_ERROR
            assert first.span.status.message == "ModelServerError"


async def test_a_refusal_is_an_error_with_its_reason() -> None:
    with a_grpc_collector() as collector:
        async with picking(variables(collector.port)) as picker:
            async with a_gateway(picker.grpc_port) as gateway:
                call = gateway.open()
                reply = await call.ask(
                    request_headers(FULL, headers=[("traceparent", SAMPLED)]), request_body(b"{")
                )
                assert reply.immediate_response.status.code == 400
            spans = await asyncio.to_thread(collector.trace)
            assert {one.span.status.message for one in spans.values()} == {"bad-request"}


@pytest.mark.parametrize(
    ("given", "rule", "sent"),
    [
        pytest.param([], {"OTEL_TRACES_SAMPLER_ARG": "0"}, "new-00", id="nobody-began-a-trace"),
        pytest.param([], {"OTEL_TRACES_SAMPLER_ARG": "1"}, "new-01", id="it-begins-here"),
        pytest.param([("traceparent", UNSAMPLED)], {}, "", id="known-and-not-recorded"),
        pytest.param(
            [("traceparent", SAMPLED)],
            {"OTEL_TRACES_SAMPLER": "always_off"},
            f"{TRACE}-00",
            id="recorded-elsewhere-but-not-here",
        ),
        pytest.param(
            [("traceparent", UNSAMPLED)],
            {"OTEL_TRACES_SAMPLER": "always_on"},
            f"{TRACE}-01",
            id="recorded-here-alone",
        ),
        pytest.param(
            [("traceparent", "00-nonsense"), ("tracestate", "a=1")],
            {"OTEL_TRACES_SAMPLER_ARG": "0"},
            "new-00-without-state",
            id="a-trace-that-cannot-be-read",
        ),
    ],
)
async def test_what_the_model_server_is_told(
    given: Sequence[tuple[str, str]], rule: Mapping[str, str], sent: str
) -> None:
    with a_grpc_collector() as collector:
        async with picking(variables(collector.port, **rule)) as picker:
            found = await one_exchange(picker, *given)
            if not sent:
                assert "traceparent" not in found
                return
            version, trace, span, flags = found["traceparent"].split("-")
            words = sent.split("-")
            assert (version, flags) == ("00", words[1])
            assert (trace == TRACE) is (words[0] == TRACE)
            assert (len(trace), len(span)) == (32, 16)
            assert span != CALLER
            assert found.get("tracestate") == ("" if sent.endswith("state") else None)
            if flags == "01":
                first = (await asyncio.to_thread(collector.trace, trace))["gateway.request"]
                assert first.span.span_id.hex() == span


@pytest.mark.parametrize("environment", [{}, {"OTEL_TRACES_EXPORTER": "none"}])
async def test_without_an_exporter_no_header_is_touched(environment: Mapping[str, str]) -> None:
    async with picking(environment) as picker:
        for given in ([], [("traceparent", SAMPLED)]):
            assert "traceparent" not in await one_exchange(picker, *given)
        assert len(picker.lines("tracing: no spans")) == 1
        assert not any("trace_spans" in name for name in picker.metrics())


async def test_an_exporter_that_is_away_costs_spans_and_nothing_else() -> None:
    [nobody] = free_ports(1)
    environment = variables(nobody, OTEL_BSP_MAX_QUEUE_SIZE="20")
    async with picking(environment) as picker:
        async with a_gateway(picker.grpc_port) as gateway:
            for _ in range(20):
                await exchanged(gateway.open(), [("traceparent", SAMPLED)])
        assert picker.metric("llm_d_epp_trace_spans_total", result="dropped") >= 8
        assert picker.metric("llm_d_epp_request_total") == 20
        picker.signal(signal.SIGINT)
        assert picker.wait() == 0  # within its time, as every test of a stop
        assert len(picker.lines("spans were not exported before the end")) <= 1


async def test_the_end_waits_for_what_is_queued() -> None:
    with a_grpc_collector() as collector:
        environment = variables(collector.port, OTEL_BSP_SCHEDULE_DELAY="600000")
        async with picking(environment) as picker:
            await one_exchange(picker, ("traceparent", SAMPLED))
            assert collector.spans == []
            picker.signal(signal.SIGINT)
            assert picker.wait() == 0
        assert {one.trace_id for one in collector.spans} == {TRACE}


async def test_the_console_is_standard_output_as_in_the_go_picker() -> None:
    environment = {"OTEL_TRACES_EXPORTER": "console", "OTEL_BSP_SCHEDULE_DELAY": "50"}
    async with picking(environment) as picker:
        await one_exchange(picker, ("traceparent", SAMPLED))
        for _ in range(200):
            if '"name": "gateway.request",' in picker.log():
                break
            await asyncio.sleep(0.05)
        text = picker.log()
        start = text.index('{\n    "name": "gateway.request",')
        found, _ = json.JSONDecoder().raw_decode(text[start:])
        assert found["context"]["trace_id"] == f"0x{TRACE}"


async def test_without_the_extra_there_is_one_line_and_no_span(tmp_path: Path) -> None:
    hidden = tmp_path / "opentelemetry"
    hidden.mkdir()
    (hidden / "__init__.py").write_text("")  # in the place of the real one
    environment = {**variables(free_ports(1)[0]), "PYTHONPATH": str(tmp_path)}
    async with picking(environment) as picker:
        assert "traceparent" not in await one_exchange(picker, ("traceparent", SAMPLED))
        [line] = picker.lines("tracing:")
        assert "pip install 'epp[tracing]'" in line["msg"]


@pytest.mark.parametrize("mode", list(Mode))
async def test_through_envoy_the_model_server_hears_of_our_span(mode: Mode) -> None:
    context = {"traceparent": SAMPLED, "tracestate": "a=1", "baggage": "team=b"}
    with a_grpc_collector() as collector:
        environment = variables(collector.port)
        async with running_stack(mode, environment=environment) as stack, stack.client() as client:
            answer = await client.chat.completions.create(
                model="sim",
                messages=[{"role": "user", "content": "hi"}],
                extra_headers=context,
            )
            assert answer.choices
            first = (await asyncio.to_thread(collector.trace, TRACE))["gateway.request"]
            heard: list[dict[str, str]] = []
            async with aiohttp.ClientSession() as session:
                for server in stack.servers:
                    async with session.get(f"{server.url}/sim/requests") as page:
                        seen = (await page.json())["requests"]
                    heard += [dict(one["headers"]) for one in seen if one["method"] == "POST"]
    [headers] = heard
    told = {name: headers[name] for name in context}
    assert told == {**context, "traceparent": f"00-{TRACE}-{first.span.span_id.hex()}-01"}
    assert first.attributes["http.response.status_code"] == 200
