"""The stages of one request where several model servers share it: encode, prefill, decode."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from epp.core.endpoint import Endpoint

# What a model server, or the sidecar before it, is told of the other stages.
PREFILLER_HEADER: Final = "x-prefiller-host-port"
ENCODERS_HEADER: Final = "x-encoder-hosts-ports"  # comma list
DATA_PARALLEL_HEADER: Final = "x-data-parallel-host-port"


class Role(StrEnum):
    """What an endpoint does for a request. The same word is in records, metrics and the log."""

    ENCODE = "encode"  # turns images, videos and audio into embeddings
    PREFILL = "prefill"  # computes the prompt
    DECODE = "decode"  # answers the request, and does the other two where nobody else does


@dataclass(frozen=True, slots=True)
class Stage:
    """One profile that a request runs through. Exactly one of a request has the role DECODE."""

    role: Role
    profile: str
    decider: str = ""  # who says whether the request needs it; empty: it always does
    skip_when_full: bool = (
        False  # else a request waits for room, as it does for the one that decodes
    )


class Skip(StrEnum):
    """Why a stage was left out."""

    DECIDER = "decider"  # it said that the request does not need it
    NO_ENDPOINTS = "no-endpoints"  # none passes the filters
    NO_ROOM = "no-room"
    SAME_ENDPOINT = "same-endpoint"  # the one that decodes does it best itself


Picks = Mapping[Role, Sequence[Endpoint]]  # of the stages that are not left out, best first
