"""Digests access log entries of the light mode into the figures that a full-mode response gives."""

from __future__ import annotations

from collections.abc import Callable

from epp.extproc.access_log import LoggedRequest
from epp.payloads.usage import Usage
from epp.telemetry.metrics import Metrics


class AccessLogDigest:
    """Only entries with our own nonce count as ours; another replica's are told apart by it."""

    def __init__(
        self, metrics: Metrics, nonce: str, report: Callable[[str, Usage], None] | None = None
    ) -> None:
        """`report` is told the usage of our own requests, by request id."""
        self._metrics = metrics
        self._nonce = nonce
        self._report = report

    def logged(self, request: LoggedRequest) -> None:
        metrics = self._metrics
        if not request.picked:
            metrics.access_log_entries.labels("nobody").inc()
            if request.served:  # fail-open let it by
                metrics.without_pick.inc()
            return
        if request.nonce != self._nonce:
            metrics.access_log_entries.labels("another").inc()
            return
        metrics.access_log_entries.labels("us").inc()
        children = metrics.children(
            request.model, request.target_model, request.flow, request.priority
        )
        children.response_size.observe(request.response_bytes)
        self._tell_usage(request)
        if request.prompt_tokens:
            children.input_tokens.observe(request.prompt_tokens)
        if request.cached_tokens is not None:
            children.cached_tokens.observe(request.cached_tokens)
        if request.completion_tokens:
            children.output_tokens.observe(request.completion_tokens)
            if request.duration_seconds is not None:
                children.ntpot.observe(request.duration_seconds / request.completion_tokens)

    def _tell_usage(self, request: LoggedRequest) -> None:
        told = request.prompt_tokens, request.completion_tokens, request.cached_tokens
        if self._report is not None and told != (None, None, None):
            prompt, completion, cached = told
            self._report(request.request_id, Usage(prompt or 0, completion or 0, cached))
