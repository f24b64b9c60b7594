"""Encode, prefill and decode by different endpoints, each stage where a decider says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal

from epp.core.request import RequestFacts
from epp.core.stages import Picks, Role, Stage
from epp.scheduling.disaggregation import (
    Named,
    StageNames,
    check_stages,
    first_given,
    stage_headers,
)
from epp.scheduling.interfaces import ProfileHandler

DECODE_FIRST: Final = frozenset({"decodefirst", "decode"})
PREFILL_FIRST: Final = frozenset({"prefillfirst", "prefill"})


@dataclass(frozen=True, slots=True)
class ProfileNames:
    """Empty: the profile of the role's own name."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    decode: str = ""
    prefill: str = ""
    encode: str = ""


@dataclass(frozen=True, slots=True)
class DeciderNames:
    """Empty: nobody says so, and the stage never runs."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    prefill: str = ""
    encode: str = ""


@dataclass(frozen=True, slots=True)
class DisaggProfileHandler(ProfileHandler):
    """Decode first: an endpoint is picked to decode, then for what the deciders say it lacks.

    Prefill first: every request is prefilled apart, and decoded near to there if the filters see to
    that. A stage for which no endpoint passes the filters is left to the one that decodes.
    """

    type_name: ClassVar[str] = "disagg-profile-handler"
    reads_request: ClassVar[bool] = False

    stage_order: str = "decode-first"  # or prefill-first
    profiles: ProfileNames = ProfileNames()
    deciders: DeciderNames = DeciderNames()
    on_full_stage: Literal["wait", "skip"] = "wait"  # ours: for room in encode and prefill
    decode_profile: str = ""  # this and the following are the older form of the same
    prefill_profile: str = ""
    encode_profile: str = ""
    prefill_decider_plugin_name: str = ""
    encode_decider_plugin_name: str = ""
    decider_plugin_name: str = ""  # the oldest name of prefillDeciderPluginName

    def __post_init__(self) -> None:
        if self._order not in DECODE_FIRST | PREFILL_FIRST:
            raise ValueError(f"stageOrder: {self.stage_order!r} is not decode-first, prefill-first")
        given = (*self._older_profiles, *self._older_deciders)
        older = ", ".join(named.parameter for named in given if named.name)
        if older and (self.profiles != ProfileNames() or self.deciders != DeciderNames()):
            raise ValueError(f"profiles and deciders: cannot be mixed with the older {older}")
        if self.prefill_decider_plugin_name and self.decider_plugin_name:
            raise ValueError("deciderPluginName: is the older name of prefillDeciderPluginName")
        decider = self._prefill.decider
        if self._prefill_first and decider.name:
            raise ValueError(
                f"{decider.parameter}: with stageOrder prefill-first nothing is to decide, "
                "since every request is prefilled apart"
            )

    def stages(self, request: RequestFacts, profiles: Sequence[str]) -> Sequence[Stage]:
        skip = self.on_full_stage == "skip"
        decode = self._decode.stage(profiles)
        encode = self._encode.stage(profiles, skip_when_full=skip)
        prefill = self._prefill.stage(profiles, skip_when_full=skip)
        if self._prefill_first:
            return (*prefill, *encode, *decode)
        return (*decode, *encode, *prefill)

    def decider_names(self) -> Mapping[str, str]:
        deciders = (self._prefill.decider, self._encode.decider)
        return {decider.parameter: decider.name for decider in deciders if decider.name}

    def check(self, profiles: Sequence[str]) -> Sequence[str]:
        return check_stages((self._decode, self._encode, self._prefill), profiles)

    def request_headers(self, picks: Picks) -> Mapping[str, str]:
        return stage_headers(picks)

    @property
    def _order(self) -> str:
        return self.stage_order.lower().replace("-", "").replace("_", "")

    @property
    def _prefill_first(self) -> bool:
        return self._order in PREFILL_FIRST

    @property
    def _older_profiles(self) -> tuple[Named, Named, Named]:
        """To decode, encode and prefill."""
        return (
            Named("decodeProfile", self.decode_profile),
            Named("encodeProfile", self.encode_profile),
            Named("prefillProfile", self.prefill_profile),
        )

    @property
    def _older_deciders(self) -> tuple[Named, Named, Named]:
        """To encode and prefill."""
        return (
            Named("encodeDeciderPluginName", self.encode_decider_plugin_name),
            Named("prefillDeciderPluginName", self.prefill_decider_plugin_name),
            Named("deciderPluginName", self.decider_plugin_name),
        )

    @property
    def _decode(self) -> StageNames:
        older = self._older_profiles[0]
        profile = first_given(older, Named("profiles.decode", self.profiles.decode))
        return StageNames(Role.DECODE, profile, Named(""), undecided_runs=True)

    @property
    def _encode(self) -> StageNames:
        profile, decider = self._older_profiles[1], self._older_deciders[0]
        return StageNames(
            Role.ENCODE,
            first_given(profile, Named("profiles.encode", self.profiles.encode)),
            first_given(decider, Named("deciders.encode", self.deciders.encode)),
        )

    @property
    def _prefill(self) -> StageNames:
        profile, deciders = self._older_profiles[2], self._older_deciders[1:]
        return StageNames(
            Role.PREFILL,
            first_given(profile, Named("profiles.prefill", self.profiles.prefill)),
            first_given(*deciders, Named("deciders.prefill", self.deciders.prefill)),
            undecided_runs=self._prefill_first,
        )
