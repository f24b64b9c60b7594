"""One profile whose pick is a data-parallel rank behind a common port, named in a header."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from epp.core.endpoint import Endpoint, authority
from epp.core.request import RequestFacts
from epp.core.stages import DATA_PARALLEL_HEADER, Picks, Role, Stage
from epp.scheduling.interfaces import ProfileHandler


@dataclass(frozen=True, slots=True)
class DataParallelProfileHandler(ProfileHandler):
    """For gateways that know one port a pod: they are told that port, the sidecar the rank's."""

    type_name: ClassVar[str] = "data-parallel-profile-handler"
    reads_request: ClassVar[bool] = False

    primary_port: int = 8000  # that the gateway is told; 0 is the rank's own

    def __post_init__(self) -> None:
        if not 0 <= self.primary_port <= 65535:
            raise ValueError(f"primaryPort: {self.primary_port} is not in 0..65535")

    def stages(self, request: RequestFacts, profiles: Sequence[str]) -> Sequence[Stage]:
        return (Stage(Role.DECODE, profiles[0]),)

    def check(self, profiles: Sequence[str]) -> Sequence[str]:
        if len(profiles) > 1:
            raise ValueError("it cannot support multiple scheduling profiles")
        return ("deprecated: gateways of today take several target ports",)

    def request_headers(self, picks: Picks) -> Mapping[str, str]:
        return {DATA_PARALLEL_HEADER: picks[Role.DECODE][0].authority}

    def common_authority(self, decoder: Endpoint) -> str:
        return authority(decoder.address, self.primary_port) if self.primary_port else ""

    @property
    def lists_fallbacks(self) -> bool:
        return False  # the header names one rank of one pod
