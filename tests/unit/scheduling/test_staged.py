from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import pytest

from epp.core.request import RequestFacts
from epp.core.stages import Role, Stage
from epp.scheduling.interfaces import ProfileHandler
from epp.scheduling.plugins.always_disagg_pd_decider import AlwaysDisaggPdDecider
from epp.scheduling.plugins.decode_filter import DecodeFilter
from epp.scheduling.plugins.disagg_profile_handler import DeciderNames, DisaggProfileHandler
from epp.scheduling.plugins.header_based_testing_filter import HeaderBasedTestingFilter
from epp.scheduling.plugins.header_profile_handler import HeaderProfileHandler
from epp.scheduling.plugins.max_score_picker import MaxScorePicker
from epp.scheduling.plugins.prefix_based_pd_decider import PrefixBasedPdDecider
from epp.scheduling.plugins.prefix_cache_scorer import PrefixCacheScorer
from epp.scheduling.profile import PluginFault, Profile, WeightedScorer
from epp.scheduling.staged import StagedScheduler
from tests.helpers.build import a_request

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
        pytest.param((Stage(Role.DECODE, "p", "x"),), id="unknown-decider"),
    ],
)
def test_a_handler_that_breaks_its_contract_is_named(stages: tuple[Stage, ...]) -> None:
    scheduler = StagedScheduler("mine", Fixed(stages), {"p": a_profile("p")}, {})
    with pytest.raises(PluginFault, match="mine: "):
        scheduler.stages(a_request())
