"""Which endpoint a session belongs to: what the client brings back, or what is remembered here."""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from hashlib import blake2b
from typing import Any, ClassVar, Final

from epp.core.endpoint import Endpoint
from epp.core.request import RequestFacts
from epp.core.spelling import to_camel
from epp.scheduling.interfaces import Answering, Stateful

MAX_SESSIONS: Final = 65_536  # remembered; those unused the longest are forgotten
LONGEST_KEY: Final = 64  # a longer session id is remembered by its hash
DROPPED_AT_ONCE: Final = 64  # expired ones that one decision drops at most
SESSION_ATTRIBUTE: Final = "SessionIDDataKey"
SESSION_PRODUCER: Final = "session-id-producer"
STRICT: Final[dict[str, Any]] = {"extra": "forbid", "alias_generator": to_camel}


class Strategy(StrEnum):
    ENCODED_ENDPOINT_HEADER = "encoded_endpoint_header"  # the client brings it back
    SESSION_ID = "session_id"  # the picker remembers it


@dataclass(frozen=True, slots=True)
class EncodedEndpointHeader:
    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT

    header: str = "x-session-token"

    def __post_init__(self) -> None:
        if not self.header:
            raise ValueError("header: is empty")


@dataclass(frozen=True, slots=True)
class SessionSource:
    """Where a request names its session: one of the three."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT

    header: str = ""
    cookie: str = ""
    attribute: str = ""  # of a producer, which is looked up when the configuration is read
    producer: str = SESSION_PRODUCER

    def __post_init__(self) -> None:
        if sum(map(bool, (self.header, self.cookie, self.attribute))) != 1:
            raise ValueError("exactly one of header, cookie and attribute is needed")
        if self.attribute not in ("", SESSION_ATTRIBUTE):
            raise ValueError(f"attribute: {self.attribute!r} is not {SESSION_ATTRIBUTE}")

    def read(self, headers: Mapping[str, str]) -> str:
        """Trimmed; empty if the request does not say."""
        if self.header:
            return headers.get(self.header.lower(), "").strip()
        return _cookie(headers.get("cookie", ""), self.cookie).strip() if self.cookie else ""


DEFAULT_SOURCES: Final = (SessionSource(header="x-session-id"),)
DEFAULT_TTL_SECONDS: Final = 300.0


@dataclass(frozen=True, slots=True)
class SessionIds:
    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT

    sources: tuple[SessionSource, ...] = DEFAULT_SOURCES  # the first that says something counts
    eviction_ttl_seconds: float = DEFAULT_TTL_SECONDS  # without use; 0: the default
    eviction_sweep_seconds: float = 10.0  # accepted: what is too old does not count at all

    def __post_init__(self) -> None:
        if not self.eviction_ttl_seconds >= 0.0:
            raise ValueError(f"evictionTtlSeconds: {self.eviction_ttl_seconds} is below zero")
        if not self.eviction_sweep_seconds >= 0.0:
            raise ValueError(f"evictionSweepSeconds: {self.eviction_sweep_seconds} is below zero")

    @property
    def ttl_seconds(self) -> float:
        return self.eviction_ttl_seconds or DEFAULT_TTL_SECONDS

    def of(self, request: RequestFacts) -> str:
        """A key of bounded length; empty if the request names no session."""
        sources = self.sources or DEFAULT_SOURCES
        found = next((text for s in sources if (text := s.read(request.headers))), "")
        if len(found) <= LONGEST_KEY:
            return found
        return blake2b(found.encode("utf-8", "surrogatepass"), digest_size=32).hexdigest()


@dataclass(slots=True)
class Sessions:
    """By session key: authority of the endpoint, and when it was last picked. Oldest use first."""

    bound: dict[str, tuple[str, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SessionAffinity(Stateful, Answering):
    """What the filter and the scorer share."""

    strategy: Strategy = Strategy.ENCODED_ENDPOINT_HEADER
    encoded_endpoint_header_config: EncodedEndpointHeader = EncodedEndpointHeader()
    session_id_config: SessionIds = SessionIds()
    profile_name: str = ""  # accepted: each profile remembers what it picked itself

    def new_state(self) -> Sessions:
        return Sessions()

    def reading(self, producers: Mapping[str, SessionSource]) -> SessionAffinity:
        """With the producers, by name, in place of the attributes. KeyError names a missing one."""
        settings = self.session_id_config
        sources = tuple(producers[s.producer] if s.attribute else s for s in settings.sources)
        return replace(self, session_id_config=replace(settings, sources=sources))

    def own(
        self, state: Sessions, request: RequestFacts, endpoints: Sequence[Endpoint]
    ) -> Endpoint | None:
        """The endpoint of the request's session, if it is among these."""
        if self.strategy is Strategy.ENCODED_ENDPOINT_HEADER:
            name = self.session_key(request)
            return next((e for e in endpoints if _name(e) == name), None) if name else None
        authority = self._bound(state, self.session_id_config.of(request), request.attempted_at)
        return next((e for e in endpoints if e.authority == authority), None) if authority else None

    def session_key(self, request: RequestFacts) -> str:
        """Requests with equal ones have one endpoint, at any one time; empty: they have none."""
        if self.strategy is Strategy.ENCODED_ENDPOINT_HEADER:
            return _decoded(request.headers.get(self._header, ""))
        return self.session_id_config.of(request)

    def response_headers(self, served: Endpoint) -> Mapping[str, str]:
        if self.strategy is not Strategy.ENCODED_ENDPOINT_HEADER:
            return {}
        return {self._header: b64encode(_name(served).encode()).decode()}

    def decided(
        self,
        state: Sessions,
        request: RequestFacts,
        endpoints: Sequence[Endpoint],
        picked: Endpoint,
        now: float,
    ) -> None:
        if self.strategy is not Strategy.SESSION_ID:
            return
        self._drop_expired(state, now)
        if not (key := self.session_id_config.of(request)):
            return
        authority = self._bound(state, key, now)
        if authority not in ("", picked.authority) and any(
            endpoint.authority == authority for endpoint in endpoints
        ):
            return  # it could have been picked: the session stays there
        _bind(state, key, picked, now)

    def finished(
        self,
        state: Sessions,
        request: RequestFacts,
        picked: Endpoint,
        served: Endpoint,
        now: float,
    ) -> None:
        """Where the gateway went on to another endpoint, the session goes with it."""
        if self.strategy is not Strategy.SESSION_ID or served is picked:
            return
        key = self.session_id_config.of(request)
        if key and self._bound(state, key, now) == picked.authority:
            _bind(state, key, served, now)

    @property
    def _header(self) -> str:
        return self.encoded_endpoint_header_config.header.lower()

    def _bound(self, state: Sessions, key: str, now: float) -> str:
        """Empty if nothing is remembered, or nothing young enough."""
        authority, used_at = state.bound.get(key, ("", 0.0)) if key else ("", 0.0)
        return authority if now - used_at <= self.session_id_config.ttl_seconds else ""

    def _drop_expired(self, state: Sessions, now: float) -> None:
        bound, ttl = state.bound, self.session_id_config.ttl_seconds
        for _ in range(min(DROPPED_AT_ONCE, len(bound))):
            key = next(iter(bound))
            if now - bound[key][1] <= ttl:
                return
            del bound[key]


def _bind(state: Sessions, key: str, endpoint: Endpoint, now: float) -> None:
    state.bound.pop(key, None)
    state.bound[key] = (endpoint.authority, now)  # at the end: the first is the oldest
    if len(state.bound) > MAX_SESSIONS:
        del state.bound[next(iter(state.bound))]


def _name(endpoint: Endpoint) -> str:
    return f"{endpoint.namespace}/{endpoint.name}"


def _decoded(token: str) -> str:
    """Empty for what nobody here has made."""
    try:
        return b64decode(token, validate=True).decode()
    except (binascii.Error, ValueError):
        return ""


def _cookie(header: str, name: str) -> str:
    for pair in header.split(";"):
        key, _, value = pair.partition("=")
        if key.strip() == name:
            return value.strip().strip('"')
    return ""
