"""What became of the decisions that a shadow profile was shown: numbers that only grow."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class ShadowCounts:
    """Of one profile. The room `shadow` is the only writer."""

    agreed: int = 0  # the same endpoint, of several the first
    differed: int = 0
    not_placed: int = 0  # it would have refused the request then, or let it wait
    skipped: int = 0  # not looked at: the time for it was spent
    failed: int = 0  # a plugin raised
    predicted: int = 0  # decisions, of those compared, of which both costs were predicted
    saved_seconds: float = 0.0  # of all requests together, where its pick was predicted cheaper
    lost_seconds: float = 0.0  # likewise, where it was predicted dearer
    overhead_seconds: float = 0.0  # of the event loop, all that the profile costs

    @property
    def compared(self) -> int:
        return self.agreed + self.differed + self.not_placed

    def copy(self) -> ShadowCounts:
        return self.since(NOTHING)

    def since(self, before: ShadowCounts) -> ShadowCounts:
        """What has come in addition. `before` is an earlier copy."""
        return ShadowCounts(
            self.agreed - before.agreed,
            self.differed - before.differed,
            self.not_placed - before.not_placed,
            self.skipped - before.skipped,
            self.failed - before.failed,
            self.predicted - before.predicted,
            self.saved_seconds - before.saved_seconds,
            self.lost_seconds - before.lost_seconds,
            self.overhead_seconds - before.overhead_seconds,
        )


NOTHING = ShadowCounts()


@dataclass(frozen=True, slots=True)
class ShadowStatus:
    """Of a shadow profile in force, since it is compared with the profile that decides now."""

    profile: str
    live_profile: str  # that it is compared with
    max_loop_share: float  # of the event loop's time, that it may take
    seconds: float  # since the comparison began
    counts: ShadowCounts

    @property
    def agreement(self) -> float | None:
        """Share of the compared decisions; None before the first one."""
        compared = self.counts.compared
        return self.counts.agreed / compared if compared else None

    @property
    def cost_difference_seconds(self) -> float | None:
        """Mean over the predicted ones; below zero where the shadow's picks are cheaper."""
        counts = self.counts
        if not counts.predicted:
            return None
        return (counts.lost_seconds - counts.saved_seconds) / counts.predicted

    @property
    def overhead_seconds(self) -> float | None:
        """Mean of a decision that it was shown; upkeep counts in."""
        shown = self.counts.compared + self.counts.failed
        return self.counts.overhead_seconds / shown if shown else None

    @property
    def loop_share(self) -> float:
        return self.counts.overhead_seconds / self.seconds if self.seconds > 0.0 else 0.0
