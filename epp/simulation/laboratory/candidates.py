"""Configurations that are worth a try on a fleet: what others ship, and a few parameters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from epp.simulation.fleet.servers import Fleet
from epp.simulation.policies.catalogue import DISAGGREGATED, POLICIES, policy
from epp.simulation.profiles import PROFILES, HardwareProfile

DEFAULT: Final = "default"
HEAD: Final = "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n"
BLENDS: Final = (("more-prefix", (1, 1, 6)), ("less-prefix", (2, 2, 1)))  # queue, KV cache, prefix


def candidates(fleet: Fleet) -> dict[str, str]:
    """Documents by name. Disaggregated serving is among them where servers have roles for it."""
    useless = {
        name for role, names in DISAGGREGATED.items() if role not in fleet.roles for name in names
    }
    found = {DEFAULT: ""}
    found |= {name: policy(name) for name in POLICIES if name not in useless}
    slowest = min(prefill_rate(PROFILES[name]) for name in fleet.profiles)
    found["sticky-fitted"] = _sticky(slowest)
    return found | {name: _blend(weights) for name, weights in BLENDS}


def prefill_rate(profile: HardwareProfile) -> float:
    """Prompt tokens per second of full steps, as the published calibration measures it."""
    tokens = profile.max_num_batched_tokens
    return tokens / profile.step_seconds(tokens, 1, 0.0, tokens * tokens / 2)


def _sticky(tokens_per_second: float) -> str:
    """The document of others with the prefill rate of these servers and a wait of two seconds."""
    return (
        policy("sticky")
        .replace("peakPrefillThroughput: 15928", f"peakPrefillThroughput: {tokens_per_second:.0f}")
        .replace("maxTTFTPenaltyMs: 18000", "maxTTFTPenaltyMs: 2000")
    )


def _blend(weights: Sequence[int]) -> str:
    names = ("queue-scorer", "kv-cache-utilization-scorer", "prefix-cache-scorer")
    plugins = "".join(f"- type: {name}\n" for name in names)
    weighted = "".join(
        f"  - {{pluginRef: {name}, weight: {weight}}}\n"
        for name, weight in zip(names, weights, strict=True)
    )
    return f"{HEAD}plugins:\n{plugins}schedulingProfiles:\n- name: default\n  plugins:\n{weighted}"
