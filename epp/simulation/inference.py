"""Chat and text completions: from the HTTP request through an engine to the answer."""

from __future__ import annotations

import secrets
import time
from array import array
from collections.abc import Callable, Sequence
from http import HTTPStatus

import orjson
from aiohttp import web

from epp.simulation import openai_answers, openai_requests, tokens
from epp.simulation.controls import Controls
from epp.simulation.engine import Engine, QueueFull
from epp.simulation.openai_answers import Answer, ChatAnswer, CompletionAnswer, Usage
from epp.simulation.openai_requests import ApiError, Generate, bad_request
from epp.simulation.requests import EngineRequest
from epp.simulation.runtime import EngineRuntime, Generation
from epp.simulation.settings import ServerSettings
from epp.simulation.vllm_page import VllmPage

EVENT_STREAM_TYPE = "text/event-stream; charset=utf-8"


class Inference:
    """The inference routes of one server."""

    def __init__(
        self,
        settings: ServerSettings,
        engines: Sequence[Engine],
        runtime: EngineRuntime,
        page: VllmPage,
        controls: Controls,
    ) -> None:
        self.in_flight = 0  # requests between submission and the end of their answers
        self._settings = settings
        self._context_tokens = settings.context_tokens
        self._engines = engines
        self._runtime = runtime
        self._page = page
        self._controls = controls

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/v1/chat/completions", self._chat),
            web.post("/v1/completions", self._completion),
        ]

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        return await self._generate(request, openai_requests.parse_chat)

    async def _completion(self, request: web.Request) -> web.StreamResponse:
        return await self._generate(request, openai_requests.parse_completion)

    async def _generate(
        self, request: web.Request, parse: Callable[[bytes], Generate]
    ) -> web.StreamResponse:
        self._controls.raise_planned_failure()
        call = parse(await request.read())
        wanted, words = self._prepare(call, _text(request.headers.get("x-request-id", "")))
        try:
            generation = self._runtime.submit(wanted, self._pinned_rank(request))
        except QueueFull as error:
            self._page.queue_rejections += 1
            status = HTTPStatus.SERVICE_UNAVAILABLE
            message = "The engine is currently busy: try again later or on a different instance."
            raise ApiError(status, status.phrase, message) from error
        kind = ChatAnswer if call.chat else CompletionAnswer
        answer = kind(wanted.request_id, int(time.time()), call.model or self._settings.models[0])
        send = self._send_stream if call.stream else self._send_whole
        self.in_flight += 1
        try:
            return await send(request, call, answer, wanted, words, generation)
        finally:
            self.in_flight -= 1
            self._runtime.abort(wanted)

    def _prepare(self, call: Generate, request_id: str) -> tuple[EngineRequest, array[int]]:
        """The request as the engine sees it, and the tokens of its answer."""
        adapter = self._adapter(call.model)
        prompt, limit = call.prompt, call.max_output_tokens
        room = self._context_tokens - len(prompt)
        if room < (limit or 1):
            message = (
                f"This model's maximum context length is {self._context_tokens} tokens. The "
                f"request has {len(prompt)} input tokens and asks for {limit or 1} output tokens."
            )
            raise bad_request(message, "input_tokens")
        seed = self._settings.seed
        stop = None if call.ignore_eos else tokens.natural_length(prompt, seed)
        most = room if limit is None else limit
        words = tokens.answer(prompt, most if stop is None else min(stop, most), seed)
        size = self._settings.block_size_tokens
        prefix = "chatcmpl" if call.chat else "cmpl"
        return (
            EngineRequest(
                request_id=f"{prefix}-{request_id or secrets.token_hex(8)}",
                prompt_tokens=len(prompt),
                max_output_tokens=most,
                stop_after_tokens=stop,
                block_hashes=tokens.block_hashes(
                    prompt + words, size, root=f"{adapter}\0{call.cache_salt}"
                ),
                adapter=adapter,
            ),
            words,
        )

    def _adapter(self, model: str) -> str:
        """The adapter that a model name means, empty for the base model."""
        if model in self._settings.adapters:
            return model
        if model and model not in self._settings.models:
            aliases = ", ".join(self._settings.models)
            message = f"The model `{model}` does not exist. Valid aliases: {aliases}."
            raise ApiError(HTTPStatus.NOT_FOUND, "NotFoundError", message, "model")
        return ""

    def _pinned_rank(self, request: web.Request) -> int | None:
        text = request.headers.get("x-data-parallel-rank")
        if text is None:
            return None
        if text.isdecimal() and int(text) < len(self._engines):
            return int(text)
        raise bad_request(f"X-data-parallel-rank {text!r} is no rank of this server")

    async def _send_whole(
        self,
        request: web.Request,
        call: Generate,
        answer: Answer,
        wanted: EngineRequest,
        words: array[int],
        generation: Generation,
    ) -> web.StreamResponse:
        count = await generation.more_than(len(words) - 1)
        if count < len(words):
            status = HTTPStatus.INTERNAL_SERVER_ERROR
            raise ApiError(status, "InternalServerError", "The engine stopped.")
        body = answer.whole(
            tokens.decode(words), wanted.finish_reason, self._usage(wanted, len(words))
        )
        response = web.Response(body=body, content_type="application/json")
        self._add_load_report(request, response)
        return response

    async def _send_stream(
        self,
        request: web.Request,
        call: Generate,
        answer: Answer,
        wanted: EngineRequest,
        words: array[int],
        generation: Generation,
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": EVENT_STREAM_TYPE})
        self._add_load_report(request, response)
        await response.prepare(request)
        sent = 0
        while sent < len(words):
            count = await generation.more_than(sent)
            if count == sent:
                break
            chunks = [] if sent else [answer.opening()]
            for place in range(sent, count):
                text = tokens.decode(words[place : place + 1])
                if place + 1 < len(words):
                    chunks.append(answer.chunk(text))
                else:
                    last = not call.include_usage
                    chunks.append(answer.closing(text, wanted.finish_reason, last=last))
                    if call.include_usage:
                        chunks.append(answer.usage(self._usage(wanted, len(words))))
                    chunks.append(openai_answers.DONE)
            sent = count
            await response.write(b"".join(chunks))
        await response.write_eof()
        return response

    def _usage(self, request: EngineRequest, completion_tokens: int) -> Usage:
        cached = request.cached_tokens if self._settings.prompt_tokens_details else None
        return Usage(request.prompt_tokens, completion_tokens, cached)

    def _add_load_report(self, request: web.Request, response: web.StreamResponse) -> None:
        """ORCA: load data on the answer, for gateways that ask for it."""
        if request.headers.get("endpoint-load-metrics-format", "").upper() == "JSON":
            gauges = [engine.gauges for engine in self._engines]
            named = {
                "num_requests_waiting": float(sum(now.waiting for now in gauges)),
                "kv_cache_usage_perc": max(now.kv_cache_usage for now in gauges),
            }
            text = orjson.dumps({"named_metrics": named}).decode()
            response.headers["endpoint-load-metrics"] = f"JSON {text}"


def _text(header: str) -> str:
    """Bytes that are no UTF-8 as question marks: it becomes part of the answer."""
    return header.encode("utf-8", "replace").decode()
