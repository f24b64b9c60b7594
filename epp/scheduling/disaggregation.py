"""What the handlers of disaggregated serving have in common: their stages and headers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from epp.core.stages import ENCODERS_HEADER, PREFILLER_HEADER, Picks, Role, Stage


@dataclass(frozen=True, slots=True)
class Named:
    """A name in the configuration, and the parameter that gives it."""

    parameter: str
    name: str = ""  # empty: not given


@dataclass(frozen=True, slots=True)
class StageNames:
    """One role's profile and decider."""

    role: Role
    given: Named
    decider: Named
    undecided_runs: bool = False  # whether the stage runs where there is no decider

    @property
    def profile(self) -> str:
        """As given, else the one that is called like the role."""
        return self.given.name or self.role.value

    def stage(self, profiles: Sequence[str], *, skip_when_full: bool = False) -> tuple[Stage, ...]:
        """None where the profile is not configured, or nobody would say that it should run."""
        if self.profile not in profiles or not (self.decider.name or self.undecided_runs):
            return ()
        return (Stage(self.role, self.profile, self.decider.name, skip_when_full),)


def first_given(*named: Named) -> Named:
    """The last, where none is given."""
    return next((one for one in named if one.name), named[-1])


def check_stages(stages: Sequence[StageNames], profiles: Sequence[str]) -> Sequence[str]:
    """What of the configuration has no effect. Raises ValueError for a missing profile."""
    unused = {name: f"profile '{name}' never runs" for name in profiles}
    found: list[str] = []
    for names in stages:
        profile, decider = names.profile, names.decider.name
        if unused.pop(profile, None) is None:
            if names.given.name or names.role is Role.DECODE:
                raise ValueError(f"{names.given.parameter}: there is no profile '{profile}'")
            if decider:
                found.append(
                    f"{names.decider.parameter}: '{decider}' is never asked, "
                    f"since there is no profile '{profile}'"
                )
        elif not decider and not names.undecided_runs:
            found.append(
                f"{names.decider.parameter}: not given, so that profile '{profile}' never runs"
            )
    return [*found, *unused.values()]


def stage_headers(picks: Picks) -> Mapping[str, str]:
    """Where the endpoint that decodes has the prompt computed and media encoded."""
    headers: dict[str, str] = {}
    if prefillers := picks.get(Role.PREFILL):
        headers[PREFILLER_HEADER] = prefillers[0].authority
    if encoders := picks.get(Role.ENCODE):
        headers[ENCODERS_HEADER] = ",".join([encoder.authority for encoder in encoders])
    return headers
