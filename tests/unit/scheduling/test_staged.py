from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import pytest

from epp.core.endpoint import Endpoint
from epp.core.request import RequestFacts
from epp.core.stages import Role, Stage
from epp.scheduling.interfaces import ProfileHandler, StatefulPicker
from epp.scheduling.memory import remembering
from epp.scheduling.plugins.always_disagg_pd_decider import AlwaysDisaggPdDecider
from epp.scheduling.plugins.decode_filter import DecodeFilter
from epp.scheduling.plugins.disagg_profile_handler import DeciderNames, DisaggProfileHandler
from epp.scheduling.plugins.header_based_testing_filter import HeaderBasedTestingFilter
from epp.scheduling.plugins.header_profile_handler import HeaderProfileHandler
from epp.scheduling.plugins.max_score_picker import MaxScorePicker
from epp.scheduling.plugins.prefix_based_pd_decider import PrefixBasedPdDecider
from epp.scheduling.plugins.prefix_cache_scorer import PrefixCacheScorer
from epp.scheduling.plugins.round_robin_picker import RoundRobinPicker
from epp.scheduling.profile import PluginFault, Profile, WeightedScorer
from epp.scheduling.staged import StagedScheduler
from tests.helpers.build import a_request, an_endpoint

DISAGG = DisaggProfileHandler(deciders=DeciderNames(prefill="decider"))


@dataclass(frozen=True, slots=True)
class Fixed(ProfileHandler):
    type_name: ClassVar[str] = "fixed"
    fixed: tuple[Stage, ...]

    def stages(self, request: RequestFacts, profiles: Sequence[str]) -> Sequence[Stage]:
        return self.fixed


def a_profile(name: str, *filters: object, scorers: tuple[WeightedScorer, ...] = ()) -> Profile:
    return Profile(name, filters, scorers, MaxScorePicker())  # type: ignore[arg-type]


def test_a_fit_class_is_of_all_filters_and_deciders() -> None:
    decode, prefill = a_profile("decode", DecodeFilter()), a_profile("prefill")
    plain = StagedScheduler("h", DISAGG, {"decode": decode}, {"decider": PrefixBasedPdDecider(9)})
    assert plain.fit_key(a_request()) == plain.fit_key(a_request(prompt_tokens=9))
    both = {"decode": decode, "prefill": prefill}
    split = StagedScheduler("h", DISAGG, both, {"decider": PrefixBasedPdDecider(9)})
    assert split.fit_key(a_request()) != split.fit_key(a_request(prompt_tokens=9))
    assert split.fit_key(a_request()) == split.fit_key(a_request(prompt_tokens=8))
    by_header = a_profile("prefill", HeaderBasedTestingFilter())
    kept = StagedScheduler(
        "h", DISAGG, {"decode": decode, "prefill": by_header}, {"decider": PrefixBasedPdDecider(9)}
    )
    one, two = (a_request(headers={"test-epp-endpoint-selection": ip}) for ip in "12")
    assert kept.fit_key(one) != kept.fit_key(two)


def test_profiles_that_a_header_names_are_classes_of_their_own() -> None:
    profiles = {name: a_profile(name) for name in ("decode", "prefill")}
    scheduler = StagedScheduler("h", HeaderProfileHandler(), profiles, {})
    prefill = a_request(headers={"epp-profile": "prefill"})
    assert scheduler.fit_key(prefill) != scheduler.fit_key(a_request())
    assert scheduler.usual_profile == "decode"
    assert scheduler.stages(a_request(headers={"epp-profile": "x"})) == ()


def test_the_usual_profile_of_a_handler_that_refuses_is_the_first() -> None:
    profiles = {name: a_profile(name) for name in ("encode", "prefill")}
    assert StagedScheduler("h", HeaderProfileHandler(), profiles, {}).usual_profile == "encode"


def test_the_prefix_is_read_for_scorers_and_deciders() -> None:
    decode = {"decode": a_profile("decode")}
    always = {"decider": AlwaysDisaggPdDecider()}
    assert not StagedScheduler("h", DISAGG, decode, {}).reads_prefix
    assert StagedScheduler("h", DISAGG, decode, {"decider": PrefixBasedPdDecider()}).reads_prefix
    scorer = WeightedScorer("s", PrefixCacheScorer())
    prefill = {**decode, "prefill": a_profile("prefill", scorers=(scorer,))}
    assert StagedScheduler("h", DISAGG, prefill, always).reads_prefix


@pytest.mark.parametrize(
    "stages",
    [
        pytest.param((Stage(Role.PREFILL, "p"),), id="nobody-decodes"),
        pytest.param((Stage(Role.DECODE, "p"), Stage(Role.DECODE, "p")), id="two-decode"),
        pytest.param((Stage(Role.DECODE, "x"),), id="unknown-profile"),
        pytest.param((Stage(Role.DECODE, "p", "d"),), id="decode-by-decider"),
        pytest.param((Stage(Role.DECODE, "p", skip_when_full=True),), id="decode-if-not-full"),
        pytest.param(
            (Stage(Role.DECODE, "p"), Stage(Role.PREFILL, "p", "x")), id="unknown-decider"
        ),
    ],
)
def test_a_handler_that_breaks_its_contract_is_named(stages: tuple[Stage, ...]) -> None:
    always = {"d": AlwaysDisaggPdDecider()}
    scheduler = StagedScheduler("mine", Fixed(stages), {"p": a_profile("p")}, always)
    with pytest.raises(PluginFault, match="mine: "):
        scheduler.stages(a_request())


def test_every_profile_remembers_its_own_picks() -> None:
    def turns(name: str) -> Profile:
        picker = remembering("turns", RoundRobinPicker())
        return Profile(name, (), (), picker)  # type: ignore[arg-type]

    profiles = {name: turns(name) for name in ("decode", "prefill")}
    always = {"decider": AlwaysDisaggPdDecider()}
    configured = StagedScheduler("h", DISAGG, profiles, always)
    scheduler = configured.with_new_memory()
    pool = [an_endpoint(name) for name in "ab"]
    decode, prefill = scheduler.stages(a_request())

    def next_pick(of: StagedScheduler, stage: Stage) -> str:
        request = a_request()
        ranked = of.rank(stage, request, pool, random.Random(1), 1)
        of.decided(stage.profile, request, ranked.candidates, ranked.ordered[0], 1.0)
        return ranked.ordered[0].name

    assert [next_pick(scheduler, decode) for _ in range(3)] == ["a", "b", "a"]
    assert next_pick(scheduler, prefill) == "a"
    assert next_pick(configured, decode) == "a"


def test_a_success_is_told_to_every_profile_that_had_a_part() -> None:
    told: list[tuple[str, str, str]] = []

    @dataclass(frozen=True, slots=True)
    class Noting(StatefulPicker):
        type_name: ClassVar[str] = "noting"
        profile: str

        def new_state(self) -> object:
            return {}

        def pick(self, state: object, endpoints: object, *_: object) -> Sequence[Endpoint]:
            raise AssertionError("nothing is picked here")

        def finished(
            self, state: object, request: object, picked: Endpoint, served: Endpoint, now: float
        ) -> None:
            told.append((self.profile, picked.name, served.name))

    profiles = {
        name: Profile(name, (), (), remembering("noting", Noting(name)))  # type: ignore[arg-type]
        for name in ("decode", "prefill")
    }
    scheduler = StagedScheduler("h", DISAGG, profiles, {"decider": AlwaysDisaggPdDecider()})
    scheduler.finished(a_request(), an_endpoint("d"), an_endpoint("e"), 1.0)
    assert told == [("decode", "d", "e")]
    shared = a_request(stage_picks=(("prefill", an_endpoint("p")),))
    scheduler.finished(shared, an_endpoint("d"), an_endpoint("d"), 1.0)
    assert told[1:] == [("decode", "d", "d"), ("prefill", "p", "p")]
