"""Which model servers a fleet has: `8x32b-h100-tp2`, `4x8b-h100+4x8b-a100`.

Where servers share requests, each group says what it does: `2x8b-h100:prefill+2x8b-h100:decode`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from random import Random
from typing import Final

from epp.core.endpoint import Endpoint, EndpointMetrics
from epp.datalayer.store import EndpointSpec
from epp.scheduling.roles import ROLE_LABEL
from epp.simulation.fleet.engine import FleetEngine
from epp.simulation.fleet.transfers import LinkSettings
from epp.simulation.profiles import PROFILES, HardwareProfile
from epp.simulation.scheduler import EngineSettings

GROUP = re.compile(r"(?:(\d+)x)?([a-z0-9-]+)(?::([a-z-]+))?")
MOST_SERVERS = 2000
PORT: Final = 8000
ROLES_THAT_ANSWER: Final = ("", "decode", "prefill-decode", "encode-prefill-decode")
ROLES: Final = (*ROLES_THAT_ANSWER[1:], "prefill", "encode", "encode-prefill")


@dataclass(frozen=True, slots=True)
class FleetSettings:
    """The servers, by profile, and what they have in common."""

    profiles: tuple[str, ...]
    block_size_tokens: int = 16
    max_num_seqs: int = 256
    max_adapters: int = 4
    adapter_load_seconds: float = 0.03  # from host memory
    adapter_first_load_seconds: float = 0.03  # from disk
    kv_cache_tokens: int | None = None  # of each server; None takes the profile's
    roles: tuple[str, ...] = ()  # of the servers, "" where it has none; empty: nobody has any
    links: LinkSettings = LinkSettings()

    def engine(self, profile: str, slowness: float = 1.0) -> EngineSettings:
        """Settings of a server that takes `slowness` times as long for every step."""
        hardware = PROFILES[profile]
        tokens = hardware.kv_cache_tokens if self.kv_cache_tokens is None else self.kv_cache_tokens
        return EngineSettings(
            profile=hardware if slowness == 1.0 else slowed(hardware, slowness),
            num_blocks=tokens // self.block_size_tokens,
            block_size_tokens=self.block_size_tokens,
            max_num_batched_tokens=hardware.max_num_batched_tokens,
            max_num_seqs=self.max_num_seqs,
            max_adapters=self.max_adapters,
            adapter_load_seconds=self.adapter_load_seconds,
            adapter_first_load_seconds=self.adapter_first_load_seconds,
        )


def slowed(profile: HardwareProfile, slowness: float) -> HardwareProfile:
    return replace(
        profile,
        host_seconds=profile.host_seconds * slowness,
        weights_seconds=profile.weights_seconds * slowness,
        token_seconds=profile.token_seconds * slowness,
        communication_seconds=profile.communication_seconds * slowness,
        sequence_seconds=profile.sequence_seconds * slowness,
        context_seconds=profile.context_seconds * slowness,
        pair_seconds=profile.pair_seconds * slowness,
        encoder_token_seconds=profile.encoder_token_seconds * slowness,
    )


@dataclass(frozen=True, slots=True)
class Fleet:
    """The servers in order."""

    profiles: tuple[str, ...]
    roles: tuple[str, ...]  # values of the label; "" is none


def parse_fleet(text: str) -> Fleet:
    """Raises ValueError that says what is wrong."""
    profiles: list[str] = []
    roles: list[str] = []
    for part in text.split("+"):
        match = GROUP.fullmatch(part.strip())
        if match is None:
            raise ValueError(f"fleet {text!r}: {part!r} is not of the form 8x32b-h100-tp2")
        count, profile, role = int(match[1] or 1), match[2], match[3] or ""
        if profile not in PROFILES:
            known = ", ".join(PROFILES)
            raise ValueError(f"fleet {text!r}: profile {profile!r} is unknown; there are {known}")
        if role and role not in ROLES:
            known = ", ".join(ROLES)
            raise ValueError(f"fleet {text!r}: role {role!r} is not simulated; there are {known}")
        if not 1 <= count + len(profiles) <= MOST_SERVERS or not count:
            raise ValueError(f"fleet {text!r}: has not between 1 and {MOST_SERVERS} servers")
        profiles += [profile] * count
        roles += [role] * count
    return Fleet(tuple(profiles), tuple(roles))


class Server:
    """One model server: its engine and what a scrape of it shows."""

    __slots__ = (
        *("blind_until", "down_until", "endpoint", "engine", "name", "number", "profile"),
        *("role", "settings", "up"),
    )

    def __init__(self, number: int, profile: str, settings: FleetSettings, rng: Random) -> None:
        self.number = number
        self.name = f"server-{number}"
        self.profile = profile
        self.role = settings.roles[number] if settings.roles else ""
        self.settings = settings
        self.engine = FleetEngine(settings.engine(profile), rng)
        self.endpoint: Endpoint | None = None  # while it is in the pool
        self.up = True
        self.blind_until = 0.0
        self.down_until = 0.0

    @property
    def spec(self) -> EndpointSpec:
        """As discovery finds it."""
        address = f"10.0.{self.number >> 8}.{self.number & 255}"
        labels = {ROLE_LABEL: self.role} if self.role else {}
        return EndpointSpec(self.name, address, PORT, labels=labels)

    def slow_down(self, slowness: float) -> None:
        """From the next step on. 1 is as fast as its hardware."""
        self.engine.profile = self.settings.engine(self.profile, slowness).profile

    def restart(self, rng: Random) -> None:
        """With an empty cache and an empty queue; who was in it got no answer."""
        profile = self.engine.profile
        self.engine = FleetEngine(self.settings.engine(self.profile), rng)
        self.engine.profile = profile

    def lose_cache(self) -> None:
        """What no live request holds is gone."""
        self.engine.cache.clear()

    def metrics(self, now: float) -> EndpointMetrics:
        """As its page says, which changes at the end of a step."""
        engine = self.engine
        adapters = frozenset(engine.live_adapters)
        return EndpointMetrics(
            waiting=engine.waiting_seen,
            waiting_read_at=now,
            running=engine.running_seen,
            running_read_at=now,
            kv_cache_usage=engine.usage_seen,
            kv_cache_usage_read_at=now,
            generated_tokens=float(engine.generated_seen),
            generated_tokens_read_at=now,
            first_tokens=float(engine.first_tokens_seen),
            first_tokens_read_at=now,
            running_adapters=adapters,
            waiting_adapters=adapters,
            max_adapters=self.settings.max_adapters,
            adapters_read_at=now,
            block_size_tokens=engine.settings.block_size_tokens,
            num_blocks=engine.settings.num_blocks,
            cache_config_read_at=now,
        )
