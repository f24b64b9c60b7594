"""A header of the request names its profile: for a coordinator that calls each stage itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from epp.core.request import RequestFacts
from epp.core.stages import Role, Stage
from epp.scheduling.interfaces import ProfileHandler


@dataclass(frozen=True, slots=True)
class HeaderProfileHandler(ProfileHandler):
    """Whatever the profile, its pick answers this request. A single profile is always the one."""

    type_name: ClassVar[str] = "header-profile-handler"

    header_name: str = "EPP-Profile"
    default_profile: str = "decode"  # without the header

    def __post_init__(self) -> None:
        if not self.header_name:
            raise ValueError("headerName: is empty")

    def stages(self, request: RequestFacts, profiles: Sequence[str]) -> Sequence[Stage]:
        if len(profiles) == 1:
            return (Stage(Role.DECODE, profiles[0]),)
        named = request.headers.get(self.header_name.lower()) or self.default_profile
        return (Stage(Role.DECODE, named),) if named in profiles else ()

    def check(self, profiles: Sequence[str]) -> Sequence[str]:
        if len(profiles) > 1 and self.default_profile not in profiles:
            return (
                f"requests without {self.header_name} are refused: "
                f"there is no profile '{self.default_profile}'",
            )
        return ()
