"""Where this picker does otherwise than the Go picker with the same document."""

from __future__ import annotations

from typing import Final

from epp.config.document import DEPRECATED_API_VERSION, Document, PluginEntry

# Of plugins that choose among full endpoints too in the Go picker, where requests wait.
WAITING: Final = {
    "prefix-cache-affinity-filter": (
        "keeps endpoints that have room; the Go picker keeps a full one that has the prompt"
    ),
    "session-affinity-filter": (
        "a session waits until its endpoint has room; the Go picker sends it to the full one"
    ),
}

OF_UTILIZATION: Final = (
    "thresholds count per endpoint, the queue is the scrape corrected by our own requests, and a "
    "stale reading is no evidence of saturation"
)


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
    for index, gate in enumerate(document.feature_gates):
        if gate == "haPopulateNonLeaderDatastore=false":
            found.append(
                f"featureGates[{index}]: without effect, pickers that do not lead know the pool too"
            )
    found += [
        f"{name}: ours; the Go picker refuses a document that has it" for name in _ours(document)
    ]
    if document.saturation_detector is not None:
        found.append("saturationDetector: deprecated, use flowControl.saturationDetector")
    if document.parser is not None:
        found.append("parser: deprecated, use requestHandler.parsers")
    flow_control = document.flow_control
    if flow_control is not None and flow_control.enable_eviction:
        found.append("flowControl.enableEviction: running requests are not evicted in this version")
    for index, entry in enumerate(document.plugins):
        if (text := _of_plugin(entry)) is not None:
            found.append(f"plugins[{index}]{text}")
        if flow_control_gate is not False and entry.type in WAITING:
            found.append(f"plugins[{index}]: {WAITING[entry.type]}")
    return tuple(found)


def _ours(document: Document) -> list[str]:
    fields = {"shadowProfiles": document.shadow_profiles, "liveProfile": document.live_profile}
    return [name for name, given in fields.items() if given]


def _of_plugin(entry: PluginEntry) -> str | None:
    """Begins with the place within the entry."""
    match entry.type:
        case "token-producer":
            return ": token counts are estimated at 4 bytes a token"
        case "utilization-detector":
            return f": {OF_UTILIZATION}"
        case "disagg-headers-handler" | "prefill-header-handler":
            return ": without effect, the profile handler sets the headers of the stages"
        case "prefix-based-pd-decider" if not (entry.parameters or {}).get("nonCachedTokens"):
            return ".parameters.nonCachedTokens: 0, so that no request is ever prefilled apart"
        case "inflight-load-producer" if entry.parameters:
            return ".parameters: without effect, the ledger counts all requests"
        case "probabilistic-admitter":
            return ": who is turned away is told 429 with a reason, by the Go picker 500"
        case "edf-ordering-policy":
            return ": every request has the same time to wait, so this is the order of arrival"
        case "metrics-data-source" if "interval" in (entry.parameters or {}):
            return ".parameters.interval: endpoints are scraped by need instead"
    return None
