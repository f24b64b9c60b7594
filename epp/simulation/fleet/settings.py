"""How one run in virtual time is made."""

from __future__ import annotations

from dataclasses import dataclass

from epp.simulation.fleet.faults import Fault
from epp.simulation.fleet.servers import FleetSettings


@dataclass(frozen=True, slots=True)
class RunSettings:
    """The defaults are those of the studies."""

    fleet: FleetSettings
    warmup_seconds: float = 30.0  # requests asked before are not measured
    window_seconds: float = 60.0
    drain_seconds: float = 60.0  # for measured requests to end; the rest counts as not served
    scrape_seconds: float = 0.05  # interval of each endpoint, each at its own phase
    network_seconds: float = 0.0005  # one way, gateway included
    sees_tokens: bool = True  # full mode; in light mode neither first tokens nor answers are seen
    usage_seconds: float = 0.1  # in light mode: after the end, by the access log
    oracle: bool = False  # in place of the configuration's profile: who knows all decides
    bytes_per_token: float = 4.0  # of prompts: the picker counts bytes
    faults: tuple[Fault, ...] = ()
    seed: int = 1

    def __post_init__(self) -> None:
        if self.oracle and any(self.fleet.roles):
            raise ValueError("the oracle knows no roles of servers")
        servers = len(self.fleet.profiles)
        for fault in self.faults:
            if fault.server >= servers:
                raise ValueError(
                    f"fault {fault.kind}:{fault.server}: the fleet has servers 0 to {servers - 1}"
                )
