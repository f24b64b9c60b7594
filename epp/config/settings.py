"""What a configuration document comes to: the settings of every room."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from epp.config.rooms import PASSTHROUGH_PARSER
from epp.datalayer.discovery.file import FileDiscoverySettings
from epp.datalayer.scraping.settings import ScrapeSettings
from epp.flowcontrol.settings import FlowControlSettings
from epp.prefixcache.settings import PrefixCacheSettings
from epp.routing.settings import RoutingSettings
from epp.scheduling.interfaces import Admitter, Detector
from epp.scheduling.profile import Profile
from epp.scheduling.staged import StagedScheduler


@dataclass(frozen=True, slots=True)
class Shadow:
    """A profile that looks on."""

    profile: Profile
    max_loop_share: float  # of the event loop's time, that it may take


@dataclass(frozen=True, slots=True)
class Configuration:
    profile: Profile  # the only one, or that which answers a request that says nothing of profiles
    detector: Detector
    flow_control: FlowControlSettings | None  # None: nobody waits
    discovery: FileDiscoverySettings | None
    prefix_cache: PrefixCacheSettings = PrefixCacheSettings()
    routing: RoutingSettings = RoutingSettings()
    control_from_clients: bool = True
    session_headers: tuple[str, ...] = ()
    scraping: ScrapeSettings = ScrapeSettings()
    staged: StagedScheduler | None = None  # None: there is one profile alone
    shadows: tuple[Shadow, ...] = ()  # none where there are several profiles
    parsers: tuple[str, ...] = ()  # their types, as listed; none: the document does not say
    flow_headers: tuple[str, ...] = ()  # that name the flow of a request without a fairness id
    admitters: Mapping[str, Admitter] = field(default_factory=dict)  # by name of the instance
    differences: tuple[str, ...] = ()  # from the Go picker, that this document meets
    document: Mapping[str, Any] = field(default_factory=dict, compare=False)  # what it was made of

    @property
    def parses_bodies(self) -> bool:
        """False where the document lists the parser alone that looks at no body."""
        return set(self.parsers) != {PASSTHROUGH_PARSER}
