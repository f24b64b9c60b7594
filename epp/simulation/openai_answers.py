"""Bodies and stream chunks of OpenAI answers, with the keys that vLLM 0.32 sends."""

from __future__ import annotations

from dataclasses import dataclass

import orjson

DONE = b"data: [DONE]\n\n"
SYSTEM_FINGERPRINT = "epp-simulated"


def _event(document: dict[str, object]) -> bytes:
    return b"data: " + orjson.dumps(document) + b"\n\n"


@dataclass(frozen=True, slots=True)
class Usage:
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int | None = None  # None: not told

    def as_dict(self) -> dict[str, object]:
        counts: dict[str, object] = {
            "prompt_tokens": self.prompt_tokens,
            "total_tokens": self.prompt_tokens + self.completion_tokens,
            "completion_tokens": self.completion_tokens,
        }
        # vLLM tells nothing where it found nothing.
        if self.cached_tokens:
            counts["prompt_tokens_details"] = {"cached_tokens": self.cached_tokens}
        return counts

    def as_full_dict(self) -> dict[str, object]:
        """The form of answers that are not streamed."""
        counts = self.as_dict()
        details = counts.get("prompt_tokens_details")
        return counts | {"prompt_tokens_details": details, "completion_tokens_details": None}


@dataclass(frozen=True, slots=True)
class ChatAnswer:
    """One chat completion, whole or in chunks."""

    request_id: str
    created: int  # unix seconds
    model: str

    def opening(self) -> bytes:
        """The chunk that names the role. It is sent with the first token, not before."""
        delta = {"role": "assistant", "content": ""}
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}
        return _event(self._chunk([choice]) | {"prompt_token_ids": None, "prompt_text": None})

    def chunk(self, text: str) -> bytes:
        return _event(self._chunk([self._choice(text, None) | {"token_ids": None}]))

    def closing(self, text: str, finish_reason: str, *, last: bool) -> bytes:
        """The chunk of the last token; `last` if no usage chunk follows."""
        choice = self._choice(text, finish_reason) | {"stop_reason": None, "token_ids": None}
        return _event(self._chunk([choice]) | _fingerprint(last))

    def usage(self, usage: Usage) -> bytes:
        return _event(self._chunk([]) | {"usage": usage.as_dict()} | _fingerprint(True))

    def whole(self, text: str, finish_reason: str, usage: Usage) -> bytes:
        message = {
            "role": "assistant",
            "content": text,
            "refusal": None,
            "annotations": None,
            "audio": None,
            "function_call": None,
            "reasoning": None,
        }
        choice = {
            "index": 0,
            "message": message,
            "logprobs": None,
            "finish_reason": finish_reason,
            "stop_reason": None,
            "token_ids": None,
            "routed_experts": None,
        }
        return orjson.dumps(
            {
                "id": self.request_id,
                "object": "chat.completion",
                "created": self.created,
                "model": self.model,
                "choices": [choice],
                "service_tier": None,
                "system_fingerprint": SYSTEM_FINGERPRINT,
                "usage": usage.as_full_dict(),
                "prompt_logprobs": None,
                "prompt_token_ids": None,
                "prompt_text": None,
                "kv_transfer_params": None,
                "ec_transfer_params": None,
                "metrics": None,
            }
        )

    def _chunk(self, choices: list[dict[str, object]]) -> dict[str, object]:
        return {
            "id": self.request_id,
            "object": "chat.completion.chunk",
            "created": self.created,
            "model": self.model,
            "choices": choices,
        }

    @staticmethod
    def _choice(text: str, finish_reason: str | None) -> dict[str, object]:
        return {
            "index": 0,
            "delta": {"content": text},
            "logprobs": None,
            "finish_reason": finish_reason,
        }


@dataclass(frozen=True, slots=True)
class CompletionAnswer:
    """One text completion, whole or in chunks."""

    request_id: str
    created: int  # unix seconds
    model: str

    def opening(self) -> bytes:
        return b""

    def chunk(self, text: str) -> bytes:
        return _event(self._chunk([self._choice(text, None)]))

    def closing(self, text: str, finish_reason: str, *, last: bool) -> bytes:
        """The chunk of the last token; `last` if no usage chunk follows."""
        return _event(self._chunk([self._choice(text, finish_reason)]) | _fingerprint(last))

    def usage(self, usage: Usage) -> bytes:
        return _event(self._chunk([]) | {"usage": usage.as_dict()} | _fingerprint(True))

    def whole(self, text: str, finish_reason: str, usage: Usage) -> bytes:
        choice = {
            "index": 0,
            "text": text,
            "logprobs": None,
            "finish_reason": finish_reason,
            "stop_reason": None,
            "token_ids": None,
            "prompt_logprobs": None,
            "prompt_token_ids": None,
            "routed_experts": None,
        }
        document = self._chunk([choice]) | {
            "service_tier": None,
            "system_fingerprint": SYSTEM_FINGERPRINT,
            "usage": usage.as_full_dict(),
            "kv_transfer_params": None,
            "ec_transfer_params": None,
            "metrics": None,
        }
        return orjson.dumps(document)

    def _chunk(self, choices: list[dict[str, object]]) -> dict[str, object]:
        return {
            "id": self.request_id,
            "object": "text_completion",
            "created": self.created,
            "model": self.model,
            "choices": choices,
        }

    @staticmethod
    def _choice(text: str, finish_reason: str | None) -> dict[str, object]:
        return {
            "index": 0,
            "text": text,
            "logprobs": None,
            "finish_reason": finish_reason,
            "stop_reason": None,
            "prompt_token_ids": None,
            "token_ids": None,
        }


Answer = ChatAnswer | CompletionAnswer


def _fingerprint(present: bool) -> dict[str, object]:
    return {"system_fingerprint": SYSTEM_FINGERPRINT} if present else {}


def models_body(
    models: tuple[str, ...], adapters: tuple[str, ...], max_model_len_tokens: int, created: int
) -> bytes:
    """The model list: served names first, then adapters under the first of them."""
    cards = [_card(name, models[0], None, max_model_len_tokens, created) for name in models]
    cards += [_card(name, name, models[0], None, created) for name in adapters]
    return orjson.dumps({"object": "list", "data": cards})


def _card(
    name: str, root: str, parent: str | None, max_model_len_tokens: int | None, created: int
) -> dict[str, object]:
    permission = {
        "id": f"modelperm-{name}",
        "object": "model_permission",
        "created": created,
        "allow_create_engine": False,
        "allow_sampling": True,
        "allow_logprobs": True,
        "allow_search_indices": False,
        "allow_view": True,
        "allow_fine_tuning": False,
        "organization": "*",
        "group": None,
        "is_blocking": False,
    }
    return {
        "id": name,
        "object": "model",
        "created": created,
        "owned_by": "vllm",
        "root": root,
        "parent": parent,
        "max_model_len": max_model_len_tokens,
        "permission": [permission],
    }
