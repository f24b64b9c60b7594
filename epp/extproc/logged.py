"""Digests access log entries of the light mode into the figures that a full-mode response gives."""

from __future__ import annotations

from epp.extproc.access_log import LoggedRequest
from epp.telemetry.metrics import Metrics


class AccessLogDigest:
    """Only entries with our own nonce count as ours; another replica's are told apart by it."""

    def __init__(self, metrics: Metrics, nonce: str) -> None:
        self._metrics = metrics
        self._nonce = nonce

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
        if request.prompt_tokens:
            children.input_tokens.observe(request.prompt_tokens)
        if request.cached_tokens is not None:
            children.cached_tokens.observe(request.cached_tokens)
        if request.completion_tokens:
            children.output_tokens.observe(request.completion_tokens)
            if request.duration_seconds is not None:
                children.ntpot.observe(request.duration_seconds / request.completion_tokens)
