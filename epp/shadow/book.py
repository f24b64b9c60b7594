"""What is known of every shadow profile by name. It stays when the configuration changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from epp.core.shadows import NOTHING, ShadowCounts, ShadowStatus
from epp.shadow.loop_share import LoopShare

REMEMBERED: Final = 64  # profiles; of those not in force, the first ones are forgotten


class Account:
    """Of one profile."""

    __slots__ = ("before", "began_at", "counts", "definition", "live_profile", "share")

    def __init__(self, share: LoopShare, now: float) -> None:
        self.share = share
        self.counts = ShadowCounts()
        self.definition: object = None  # of itself and of the live profile; None: not in force
        self.live_profile = ""
        self.before = NOTHING  # counts when these two were first compared
        self.began_at = now


class ShadowBook:
    """One loop is its only user. Times are of the clock that the shadows are paid from."""

    def __init__(self) -> None:
        self._accounts: dict[str, Account] = {}

    def account(self, profile: str, max_loop_share: float, now: float) -> Account:
        """The one there is, which goes on, or a new one."""
        found = self._accounts.get(profile)
        if found is None:
            found = self._accounts[profile] = Account(LoopShare(max_loop_share, now), now)
            self._forget(profile)
        return found

    def put_in_force(
        self, live_profile: str, shadows: Sequence[tuple[str, float, object]], now: float
    ) -> None:
        """Name, share and definition of each; where that is as before, the comparison goes on."""
        wanted = {profile for profile, _, _ in shadows}
        for profile, account in self._accounts.items():
            if profile not in wanted:
                account.definition = None
        for profile, max_loop_share, definition in shadows:
            account = self.account(profile, max_loop_share, now)
            account.share.share = max_loop_share
            account.live_profile = live_profile
            if account.definition != definition:
                account.definition = definition
                account.before = account.counts.copy()
                account.began_at = now

    def counts(self) -> Mapping[str, ShadowCounts]:
        """By profile, also of those that are shadows no more."""
        return {profile: account.counts for profile, account in self._accounts.items()}

    def statuses(self, now: float) -> list[ShadowStatus]:
        """Of those in force."""
        return [
            ShadowStatus(
                profile,
                account.live_profile,
                account.share.share,
                now - account.began_at,
                account.counts.since(account.before),
            )
            for profile, account in self._accounts.items()
            if account.definition is not None
        ]

    def _forget(self, fresh: str) -> None:
        excess = len(self._accounts) - REMEMBERED
        if excess <= 0:
            return
        unused = [n for n, a in self._accounts.items() if a.definition is None and n != fresh]
        for profile in unused[:excess]:
            del self._accounts[profile]
