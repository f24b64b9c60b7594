"""What a configuration makes of its shadow profiles: each an attempt that never reserves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from epp.config.settings import Configuration
from epp.core.decision import DecisionRecord, Lease
from epp.core.endpoint import Endpoint
from epp.core.request import RequestFacts
from epp.flowcontrol.attempt import PlacingAttempt
from epp.flowcontrol.surroundings import Surroundings
from epp.prefixcache.approximate import ApproximateIndex
from epp.scheduling.marginal_cost import cost_difference
from epp.scheduling.memory import Memory, joined
from epp.scheduling.profile import Profile
from epp.shadow.book import ShadowBook
from epp.shadow.comparison import Judge, Shadow, Shadowing, Shadows

# Puts on a request what was learned that matters for these endpoints.
Estimate = Callable[[RequestFacts, Sequence[Endpoint], float], None]


@dataclass(frozen=True, slots=True)
class Beside:
    """What shadows look at beside the profile that decides."""

    around: Surroundings  # of that profile's attempt
    index: ApproximateIndex
    estimate: Estimate
    book: ShadowBook
    shadowing: Shadowing


def shadows_of(
    configuration: Configuration, live: Profile, profiles: Sequence[Profile], beside: Beside
) -> Shadows:
    """`profiles` are those of the configuration's shadows, in order, with their memory."""
    deciding = list(live.memories)
    now = beside.shadowing.clock()
    shadows: list[Shadow] = []
    for profile, settings in zip(profiles, configuration.shadows):  # noqa: B905 - compiled only so
        memories: list[Memory] = joined(deciding, profile.memories)
        deciding += memories
        shadows.append(
            Shadow(
                profile.name,
                PlacingAttempt(profile, _around(profile, beside)),
                beside.book.account(profile.name, settings.max_loop_share, now),
                memories,
                profile.reads_prefix,
            )
        )
    return Shadows(shadows, beside.shadowing, _judge(beside))


def put_in_force(
    book: ShadowBook,
    configuration: Configuration,
    live: Profile,
    profiles: Sequence[Profile],
    now: float,
) -> None:
    """Where neither a shadow nor the profile that decides is another one, comparing goes on."""
    entries = [
        (profile.name, settings.max_loop_share, (live, profile))
        for profile, settings in zip(profiles, configuration.shadows)  # noqa: B905 - compiled only so
    ]
    book.put_in_force(live.name, entries, now)


def _around(profile: Profile, beside: Beside) -> Surroundings:
    """It looks at what it would look at if it decided."""
    return replace(
        beside.around,
        match_prefix=beside.index.match if profile.reads_prefix else None,
        estimate=beside.estimate if profile.reads_costs else None,
        reserve=_never,
        sample=None,
        shadows=None,
    )


def _never(endpoint: Endpoint, prompt_tokens: int, uncached_tokens: int) -> Lease:
    raise AssertionError("a shadow places nothing")


def _judge(beside: Beside) -> Judge:
    """By what marginal-cost-scorer predicts, whatever the profiles are made of."""
    index, estimate = beside.index, beside.estimate

    def judged(
        facts: RequestFacts, record: DecisionRecord, picked: Endpoint, now: float
    ) -> float | None:
        first = record.picked[0]
        both, differ = (first, picked), first is not picked
        # What somebody has just put there is as good; only costs of adapters are by endpoint.
        if facts.estimate is None or (differ and facts.adapter):
            estimate(facts, both, now)
        if differ:
            blocks, match = facts.prefix_blocks, index.match
            facts.cached_tokens = match(blocks, both, facts.token_ratio) if blocks else {}
        return cost_difference(facts, record.candidates, first, picked)

    return judged
