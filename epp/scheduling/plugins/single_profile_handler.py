"""One profile for all requests: what is in force where no handler is named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from epp.core.request import RequestFacts
from epp.core.stages import Role, Stage
from epp.scheduling.interfaces import ProfileHandler


@dataclass(frozen=True, slots=True)
class SingleProfileHandler(ProfileHandler):
    type_name: ClassVar[str] = "single-profile-handler"
    reads_request: ClassVar[bool] = False

    def stages(self, request: RequestFacts, profiles: Sequence[str]) -> Sequence[Stage]:
        return (Stage(Role.DECODE, profiles[0]),)

    def check(self, profiles: Sequence[str]) -> Sequence[str]:
        if len(profiles) > 1:
            raise ValueError("it cannot support multiple scheduling profiles")
        return ()
