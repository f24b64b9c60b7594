"""Images, videos and audio are encoded by endpoints of their own."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import ClassVar

from epp.core.endpoint import Endpoint
from epp.core.request import RequestFacts
from epp.scheduling.interfaces import Decider


@dataclass(frozen=True, slots=True)
class AlwaysDisaggMultimodalDecider(Decider):
    type_name: ClassVar[str] = "always-disagg-multimodal-decider"

    def needed(self, request: RequestFacts, decoder: Endpoint | None) -> bool:
        return request.media_tokens > 0

    def fit_key(self, request: RequestFacts) -> Hashable:
        return request.media_tokens > 0
