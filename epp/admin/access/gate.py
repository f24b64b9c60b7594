"""Lets those with the right token through to a page: asks the cluster, once for each token."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from epp.admin.access.reviews import (
    ACCESS_REVIEWS,
    TOKEN_REVIEWS,
    Json,
    ReviewFailed,
    access_review,
    bearer_token,
    identity_of,
    is_allowed,
    token_review,
)
from epp.admin.access.verdicts import Verdict, Verdicts

log = logging.getLogger(__name__)

# Creates an object at a path of the API server; raises ReviewFailed.
Create = Callable[[str, Json], Awaitable[Json]]

VERB = "get"
LOOKUP_SECONDS = 8.0  # both reviews together; a scrape waits 10
MAX_LOOKUPS = 32  # at a time; each is of another token

UNAUTHORIZED = Verdict(401, "Unauthorized")
AWAY = Verdict(503, "Authentication failed: the API server does not answer")
NOT_PERMITTED = Verdict(500, "Authentication failed: the API server does not review the token")
CROWDED = Verdict(503, "Authentication failed: too many tokens are being reviewed")


@dataclass(slots=True)
class _Lookup:
    """Others with the same token wait for it. Without a verdict, who asked has gone away."""

    verdict: Verdict | None = None
    done: asyncio.Event = field(default_factory=asyncio.Event)


class AccessGate:
    """For one path. Requests with one token share a lookup, and its verdict for a while."""

    def __init__(self, create: Create, path: str, now: Callable[[], float]) -> None:
        self._create = create
        self._path = path
        self._now = now
        self._verdicts = Verdicts()
        self._lookups: dict[bytes, _Lookup] = {}
        self._failing = False

    async def check(self, authorization: str | None) -> Verdict:
        """Of the value of a request's Authorization header."""
        token = bearer_token(authorization)
        if token is None:
            return UNAUTHORIZED
        key = hashlib.sha256(token.encode(errors="surrogateescape")).digest()
        while True:
            if (known := self._verdicts.find(key, self._now())) is not None:
                return known
            if (lookup := self._lookups.get(key)) is None:
                break
            await lookup.done.wait()
            if lookup.verdict is not None:
                return lookup.verdict
        if len(self._lookups) >= MAX_LOOKUPS:
            return CROWDED
        return await self._look_up(key, token)

    async def _look_up(self, key: bytes, token: str) -> Verdict:
        lookup = self._lookups[key] = _Lookup()
        try:
            lookup.verdict = await self._review(key, token)
            return lookup.verdict
        finally:
            del self._lookups[key]
            lookup.done.set()

    async def _review(self, key: bytes, token: str) -> Verdict:
        try:
            async with asyncio.timeout(LOOKUP_SECONDS):
                verdict = await self._judge(token)
        except ReviewFailed as error:
            return self._failed(str(error), AWAY if error.temporary else NOT_PERMITTED)
        except TimeoutError:
            return self._failed(f"no answer of the API server in {LOOKUP_SECONDS:g} s", AWAY)
        self._verdicts.keep(key, verdict, self._now())
        self._works_again()
        return verdict

    async def _judge(self, token: str) -> Verdict:
        identity = identity_of(await self._create(TOKEN_REVIEWS, token_review(token)))
        if identity is None:
            log.debug("a token for %s is nobody's", self._path)
            return UNAUTHORIZED
        review = access_review(identity, self._path, VERB)
        if is_allowed(await self._create(ACCESS_REVIEWS, review)):
            return Verdict(200)
        log.debug("%s may not %s %s", identity.name, VERB, self._path)
        return Verdict(403, f"Authorization denied for user {identity.name}")

    def _failed(self, text: str, verdict: Verdict) -> Verdict:
        """Not kept: the next request asks again. The reason is for the log, not for strangers."""
        if not self._failing:
            self._failing = True
            log.warning("nobody new is let through to %s: %s", self._path, text)
        return verdict

    def _works_again(self) -> None:
        if self._failing:
            self._failing = False
            log.info("tokens for %s can be reviewed again", self._path)
