"""Token counts in a response, by the names that the APIs give them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

import orjson

from epp.payloads.toplevel import NotAnObject, value_end

USAGE_KEY: Final = b'"usage"'
MAX_CANDIDATES: Final = 8  # places of a cut document that are tried
# No request has more. A count beyond is a defect of the server, -1 without its sign for one, and
# would be learned from.
MAX_TOKENS: Final = 10_000_000
_REPORT: Final = re.compile(USAGE_KEY + rb"[ \t\r\n]*+:[ \t\r\n]*+(?=\{)")


@dataclass(slots=True)
class Usage:
    """Later reports overwrite earlier ones field by field; a stream may report more than once."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int | None = None  # None: not reported
    reported_total_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        """A reported total counts only beside both parts."""
        if self.prompt_tokens and self.completion_tokens and self.reported_total_tokens:
            return self.reported_total_tokens
        return self.prompt_tokens + self.completion_tokens

    def merge(self, report: dict[str, Any]) -> None:
        """`report` is the `usage` object of OpenAI chat, OpenAI responses or Anthropic."""
        prompt = _count(report.get("prompt_tokens")) or _count(report.get("input_tokens"))
        completion = _count(report.get("completion_tokens")) or _count(report.get("output_tokens"))
        self.prompt_tokens = prompt or self.prompt_tokens
        self.completion_tokens = completion or self.completion_tokens
        self.reported_total_tokens = (
            _count(report.get("total_tokens")) or self.reported_total_tokens
        )
        for key in ("prompt_tokens_details", "input_tokens_details"):
            details = report.get(key)
            if isinstance(details, dict) and (cached := _number(details.get("cached_tokens"))) >= 0:
                self.cached_tokens = cached
        if (read := _number(report.get("cache_read_input_tokens"))) >= 0:
            self.cached_tokens = read


def find_report(data: bytes) -> dict[str, Any] | None:
    """The `usage` object of a JSON document: its own, or that of the response or message in it.

    Where only the end of a document is there, the last report that can be read.
    """
    first = data.find(USAGE_KEY)  # far faster than the expression
    if first < 0 or _REPORT.search(data, first) is None:
        return None
    try:
        return _report_of(orjson.loads(data))
    except orjson.JSONDecodeError:
        pass  # cut, or with NaN for a log probability as lenient writers have it
    starts = [match.end() for match in _REPORT.finditer(data)]
    for start in reversed(starts[-MAX_CANDIDATES:]):
        report = _load(data, start)
        if report is not None:
            return report
    return None


def _report_of(document: object) -> dict[str, Any] | None:
    if not isinstance(document, dict):
        return None
    for holder in (document, document.get("response"), document.get("message")):
        if isinstance(holder, dict) and isinstance(report := holder.get("usage"), dict):
            return report
    return None


def _load(data: bytes, start: int) -> dict[str, Any] | None:
    try:
        report = orjson.loads(data[start : value_end(data, start)])
    except (NotAnObject, orjson.JSONDecodeError):
        return None
    return report if isinstance(report, dict) else None


def _count(value: object) -> int:
    """0 for what is no count."""
    return max(0, _number(value))


def _number(value: object) -> int:
    """-1 for what is no count. Some servers send counts as text."""
    if isinstance(value, int):
        return -1 if isinstance(value, bool) else bounded_count(value)
    if isinstance(value, str) and value.isdecimal() and len(value) < 16:
        return bounded_count(int(value))
    return -1


def bounded_count(tokens: int) -> int:
    """-1 for what cannot be a count of tokens."""
    return tokens if 0 <= tokens <= MAX_TOKENS else -1
