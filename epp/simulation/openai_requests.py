"""Bodies of OpenAI requests as vLLM reads them: decoded, checked, tokenised."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus

import orjson

from epp.simulation import tokens as tokenizer

DEFAULT_COMPLETION_TOKENS = 16


class ApiError(Exception):
    """An answer in vLLM's error shape."""

    def __init__(self, status: int, kind: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.param = param

    def body(self) -> bytes:
        return orjson.dumps(
            {
                "error": {
                    "message": str(self),
                    "type": self.kind,
                    "param": self.param,
                    "code": self.status,
                }
            }
        )


def bad_request(message: str, param: str | None = None) -> ApiError:
    return ApiError(HTTPStatus.BAD_REQUEST, "BadRequestError", message, param)


@dataclass(frozen=True, slots=True)
class Generate:
    """What one chat or text completion asks for."""

    chat: bool
    model: str  # as the client named it; empty means the server's first
    prompt: array[int]
    max_output_tokens: int | None
    ignore_eos: bool
    stream: bool
    include_usage: bool
    cache_salt: str


def decode_object(body: bytes) -> Mapping[str, object]:
    """Raises ApiError unless the body is one JSON object."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ApiError(
            HTTPStatus.BAD_REQUEST, HTTPStatus.BAD_REQUEST.phrase, f"JSON decode error: {error}"
        ) from error
    if not isinstance(document, dict):
        raise bad_request("the body must be a JSON object")
    return document


def parse_chat(body: bytes) -> Generate:
    document = decode_object(body)
    limit = _positive(document, "max_completion_tokens")
    return _generate(
        document,
        chat=True,
        prompt=chat_tokens(document),
        limit=_positive(document, "max_tokens") if limit is None else limit,
    )


def parse_completion(body: bytes) -> Generate:
    document = decode_object(body)
    limit = _positive(document, "max_tokens")
    return _generate(
        document,
        chat=False,
        prompt=prompt_tokens(document),
        limit=DEFAULT_COMPLETION_TOKENS if limit is None else limit,
    )


def chat_tokens(document: Mapping[str, object]) -> array[int]:
    """Tokens of `messages`, and of `tools`, which a chat template puts in front."""
    messages = document.get("messages")
    if not isinstance(messages, list) or not messages:
        raise bad_request("messages must be a list with at least one message", "messages")
    turns = [_turn(message, place) for place, message in enumerate(messages)]
    if tools := document.get("tools"):
        turns.insert(0, ("system", orjson.dumps(tools).decode()))
    return tokenizer.render_chat(turns)


def prompt_tokens(document: Mapping[str, object]) -> array[int]:
    """Tokens of `prompt`: a text or a list of token ids; one prompt only."""
    prompt = document.get("prompt")
    if isinstance(prompt, str) and prompt:
        return tokenizer.encode(prompt)
    if isinstance(prompt, list) and prompt:
        if len(prompt) == 1 and isinstance(prompt[0], str | list):
            return prompt_tokens({"prompt": prompt[0]})
        return _token_ids(prompt)
    raise bad_request("prompt must be a text or a list of token ids, and not empty", "prompt")


def _token_ids(values: Sequence[object]) -> array[int]:
    ids = array("I")
    for place, value in enumerate(values):
        if type(value) is not int or not 0 <= value <= tokenizer.MAX_TOKEN_ID:
            raise bad_request(f"prompt[{place}] is no token id (one prompt per request)", "prompt")
        ids.append(value)
    return ids


def _generate(
    document: Mapping[str, object], *, chat: bool, prompt: array[int], limit: int | None
) -> Generate:
    if document.get("n") not in (None, 1):
        raise bad_request("this server gives one choice per request", "n")
    options = document.get("stream_options")
    if options is not None and not isinstance(options, dict):
        raise bad_request("stream_options must be an object", "stream_options")
    stream = _flag(document, "stream")
    if options is not None and not stream:
        raise bad_request("stream_options needs stream", "stream_options")
    return Generate(
        chat=chat,
        model=_text(document, "model"),
        prompt=prompt,
        max_output_tokens=limit,
        ignore_eos=_flag(document, "ignore_eos"),
        stream=stream,
        include_usage=_flag(options or {}, "include_usage"),
        cache_salt=_text(document, "cache_salt"),
    )


def _turn(message: object, place: int) -> tuple[str, str]:
    where = f"messages[{place}]"
    if not isinstance(message, dict) or not isinstance(message.get("role"), str):
        raise bad_request(f"{where} must be an object with a role", "messages")
    content = message.get("content")
    if isinstance(content, list):
        content = "".join(_part(part, where) for part in content)
    if content is None:
        content = ""
    if not isinstance(content, str):
        raise bad_request(f"{where}.content must be a text or a list of parts", "messages")
    if calls := message.get("tool_calls"):
        content += orjson.dumps(calls).decode()
    return message["role"], content


def _part(part: object, where: str) -> str:
    if isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str):
        return str(part["text"])
    raise bad_request(
        f"{where} has a part that is not text; this model reads only text", "messages"
    )


def _positive(document: Mapping[str, object], name: str) -> int | None:
    value = document.get(name)
    if value is None:
        return None
    if type(value) is not int or value < 1:
        raise bad_request(f"{name} must be an integer of at least 1, not {value!r}", name)
    return value


def _flag(document: Mapping[str, object], name: str) -> bool:
    value = document.get(name)
    if value is None or isinstance(value, bool):
        return bool(value)
    raise bad_request(f"{name} must be true or false", name)


def _text(document: Mapping[str, object], name: str) -> str:
    value = document.get(name)
    if value is None or isinstance(value, str):
        return value or ""
    raise bad_request(f"{name} must be a text", name)
