"""The deprecated predecessor of disagg-profile-handler: decode, and prefill where decided."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from epp.core.endpoint import Endpoint, authority
from epp.core.request import RequestFacts
from epp.core.stages import DATA_PARALLEL_HEADER, Picks, Role, Stage
from epp.scheduling.disaggregation import Named, StageNames, check_stages, stage_headers
from epp.scheduling.interfaces import ProfileHandler


@dataclass(frozen=True, slots=True)
class PdProfileHandler(ProfileHandler):
    type_name: ClassVar[str] = "pd-profile-handler"
    reads_request: ClassVar[bool] = False

    decode_profile: str = "decode"
    prefill_profile: str = "prefill"
    decider_plugin_name: str = "prefix-based-pd-decider"
    primary_port: int = 0  # that the gateway is told, with the rank's in a header; 0 is the rank's
    prefix_plugin_type: str = ""  # this and the following are accepted: there is one index
    prefix_plugin_name: str = ""
    prefix_match_info_producer_name: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.primary_port <= 65535:
            raise ValueError(f"primaryPort: {self.primary_port} is not in 0..65535")
        for name, value in (
            ("decodeProfile", self.decode_profile),
            ("prefillProfile", self.prefill_profile),
            ("deciderPluginName", self.decider_plugin_name),
        ):
            if not value:
                raise ValueError(f"{name}: is empty")

    def stages(self, request: RequestFacts, profiles: Sequence[str]) -> Sequence[Stage]:
        return (*self._decode.stage(profiles), *self._prefill.stage(profiles))

    def decider_names(self) -> Mapping[str, str]:
        return {self._prefill.decider.parameter: self.decider_plugin_name}

    def check(self, profiles: Sequence[str]) -> Sequence[str]:
        found = check_stages((self._decode, self._prefill), profiles)
        return ("deprecated: use disagg-profile-handler", *found)

    def request_headers(self, picks: Picks) -> Mapping[str, str]:
        headers = stage_headers(picks)
        if self.primary_port:
            return {**headers, DATA_PARALLEL_HEADER: picks[Role.DECODE][0].authority}
        return headers

    def common_authority(self, decoder: Endpoint) -> str:
        return authority(decoder.address, self.primary_port) if self.primary_port else ""

    @property
    def lists_fallbacks(self) -> bool:
        return not self.primary_port

    @property
    def _decode(self) -> StageNames:
        profile = Named("decodeProfile", self.decode_profile)
        return StageNames(Role.DECODE, profile, Named(""), undecided_runs=True)

    @property
    def _prefill(self) -> StageNames:
        profile = Named("prefillProfile", self.prefill_profile)
        return StageNames(
            Role.PREFILL, profile, Named("deciderPluginName", self.decider_plugin_name)
        )
