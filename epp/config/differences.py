"""Where this picker does otherwise than the Go picker with the same document."""

from __future__ import annotations

from epp.config.document import DEPRECATED_API_VERSION, Document


def differences(document: Document, flow_control_gate: bool | None) -> tuple[str, ...]:
    """A line for each difference that the document meets, for `check-config` and the start log."""
    found: list[str] = []
    if document.api_version == DEPRECATED_API_VERSION:
        found.append(f"apiVersion: {DEPRECATED_API_VERSION} is deprecated")
    if flow_control_gate is None:
        found.append(
            "featureGates: flowControl is not set. A request that no endpoint has room for waits "
            "in the picker; the Go picker sends it to a full endpoint. "
            "`flowControl=false` does the same here"
        )
    if document.saturation_detector is not None:
        found.append("saturationDetector: deprecated, use flowControl.saturationDetector")
    if document.parser is not None:
        found.append("parser: deprecated, use requestHandler.parsers")
    flow_control = document.flow_control
    if flow_control is not None and flow_control.enable_eviction:
        found.append("flowControl.enableEviction: running requests are not evicted in this version")
    for index, entry in enumerate(document.plugins):
        where = f"plugins[{index}]"
        match entry.type:
            case "anthropic-parser" | "vllmhttp-parser":
                found.append(f"{where}: of these requests only the model is read, not the prompt")
            case "token-producer":
                found.append(f"{where}: token counts are estimated at 4 bytes a token")
            case "utilization-detector":
                found.append(
                    f"{where}: thresholds count per endpoint, the queue is the scrape corrected by "
                    "our own requests, and a stale reading is no evidence of saturation"
                )
            case "inflight-load-producer" if entry.parameters:
                found.append(f"{where}.parameters: without effect, the ledger counts all requests")
            case "metrics-data-source" if "interval" in (entry.parameters or {}):
                found.append(f"{where}.parameters.interval: endpoints are scraped by need instead")
    return tuple(found)
