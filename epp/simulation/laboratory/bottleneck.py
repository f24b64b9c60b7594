"""What a fleet runs out of first at a load, from what its engines spent their time on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

HELD_UP: Final = 0.1  # of the time somebody waits for it: it is scarce
BUSY: Final = 0.5  # of the time goes into it: the next thing to run out


class Resource(StrEnum):
    MEMORY = "KV cache"
    ADAPTERS = "LoRA slots"
    PLACES = "places in the batch"
    PREFILL = "prefill"
    ENCODE = "encoding of images"
    DECODE = "decode"
    NOTHING = "nothing"


REMEDIES: Final[Mapping[Resource, str]] = {
    Resource.MEMORY: "more GPU memory, shorter contexts, or more servers",
    Resource.ADAPTERS: "a larger max_loras, or fewer adapters to a pool",
    Resource.PLACES: "a larger max_num_seqs",
    Resource.PREFILL: "more servers, or prompts that share more",
    Resource.ENCODE: "more servers that encode, or some for nothing else",
    Resource.DECODE: "more servers, or a tensor parallelism that is faster per token",
    Resource.NOTHING: "the fleet has room at this load",
}


@dataclass(frozen=True, slots=True)
class Bottleneck:
    resource: Resource
    share: float  # of the servers' time that it held somebody up, or took


def bottleneck(figures: Mapping[str, float], tpot_objective_seconds: float) -> Bottleneck:
    """Of means of outcomes, by name.

    What requests wait for is scarce, unless computing prompts takes more of the time: then they
    wait for that in the end. Servers decode all the time at any load, so that counts only as far
    as an answer comes slower than it should.
    """
    waits = {
        Resource.MEMORY: figures["held_up_by_memory"],
        Resource.ADAPTERS: figures["held_up_by_adapters"] + figures["loading_share"],
        Resource.PLACES: figures["held_up_by_places"],
    }
    slowness = min(1.0, figures["tpot_p90"] / tpot_objective_seconds)  # NaN, if none was served
    prefill = max(figures["prefill_share"], figures["held_up_by_prefill"])
    takes = {
        Resource.PREFILL: prefill,
        Resource.ENCODE: max(figures["encoding_share"], figures["held_up_by_images"]),
        Resource.DECODE: figures["decode_share"] * (slowness if slowness > 0 else 0.0),
    }
    scarce = max(waits, key=lambda resource: waits[resource])
    busiest = max(takes, key=lambda resource: takes[resource])
    if waits[scarce] >= HELD_UP and (waits[scarce] >= prefill or prefill < BUSY):
        return Bottleneck(scarce, waits[scarce])
    if takes[busiest] >= BUSY:
        return Bottleneck(busiest, takes[busiest])
    return Bottleneck(Resource.NOTHING, takes[busiest])
