"""Token counts in a response, by the names that the APIs give them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(slots=True)
class Usage:
    """Later reports overwrite earlier ones field by field; a stream may report more than once."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int | None = None  # None: not reported

    def merge(self, report: dict[str, Any]) -> None:
        """`report` is the `usage` object of OpenAI chat, OpenAI responses or Anthropic."""
        self.prompt_tokens = _count(report, "prompt_tokens", "input_tokens") or self.prompt_tokens
        self.completion_tokens = (
            _count(report, "completion_tokens", "output_tokens") or self.completion_tokens
        )
        for key in ("prompt_tokens_details", "input_tokens_details"):
            details = report.get(key)
            if isinstance(details, dict) and (cached := _number(details.get("cached_tokens"))) >= 0:
                self.cached_tokens = cached
        if (read := _number(report.get("cache_read_input_tokens"))) >= 0:
            self.cached_tokens = read


def find_report(event: dict[str, Any]) -> dict[str, Any] | None:
    """The `usage` object of a document or event: its own, or that of the response in it."""
    for holder in (event, event.get("response"), event.get("message")):
        if isinstance(holder, dict) and isinstance(report := holder.get("usage"), dict):
            return report
    return None


def _count(report: dict[str, Any], *keys: str) -> int:
    return max(0, *(_number(report.get(key)) for key in keys))


def _number(value: object) -> int:
    """-1 for what is no count. Some servers send counts as text."""
    if isinstance(value, str) and value.isdecimal() and len(value) < 16:
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else -1
