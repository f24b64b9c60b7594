from __future__ import annotations

import pytest

from epp.scheduling.plugins.decode_filter import DecodeFilter
from epp.scheduling.plugins.random_picker import RandomPicker
from epp.scheduling.plugins.utilization_detector import UtilizationDetector
from tests.unit.config.documents import problems, read

DISAGG = """
plugins:
- {type: decode-filter}
- {type: prefill-filter}
- {type: prefix-based-pd-decider, name: decider, parameters: {nonCachedTokens: 16}}
- {type: disagg-profile-handler, name: handler, parameters: {deciders: {prefill: decider}}}
schedulingProfiles:
- {name: prefill, plugins: [{pluginRef: prefill-filter}]}
- {name: decode, plugins: [{pluginRef: decode-filter}]}
"""
TWO = "schedulingProfiles: [{name: decode}, {name: prefill}]"


def test_several_profiles_with_their_handler_and_deciders() -> None:
    configuration = read(DISAGG)
    staged = configuration.staged
    assert staged is not None
    assert (staged.name, staged.handler_type) == ("handler", "disagg-profile-handler")
    assert list(staged.profiles) == ["prefill", "decode"]
    assert list(staged.deciders) == ["decider"]
    assert configuration.profile.name == "decode"
    assert configuration.profile.filters == (DecodeFilter(),)


def test_one_profile_needs_no_handler_and_may_have_the_plain_one() -> None:
    assert read("schedulingProfiles: [{name: p}]").staged is None
    single = read("plugins: [{type: single-profile-handler}, {type: queue-scorer}]")
    assert single.staged is None
    assert [w.name for w in single.profile.scorers] == ["queue-scorer"]


def test_handlers_and_deciders_are_in_no_profile() -> None:
    configuration = read(
        "plugins: [{type: queue-scorer}, {type: always-disagg-pd-decider},"
        " {type: data-parallel-profile-handler}]"
    )
    assert configuration.staged is not None
    assert [w.name for w in configuration.profile.scorers] == ["queue-scorer"]
    assert configuration.profile.name == "default"


def test_every_profile_without_a_picker_gets_one() -> None:
    text = DISAGG.replace("plugins:\n", "plugins:\n- {type: random-picker}\n", 1)
    staged = read(text).staged
    assert staged is not None
    assert {profile.picker for profile in staged.profiles.values()} == {RandomPicker()}


@pytest.mark.parametrize(
    ("body", "text"),
    [
        pytest.param(TWO, "schedulingProfiles: no profile handler configured", id="no-handler"),
        pytest.param(
            "plugins: [{type: single-profile-handler}]\n" + TWO,
            "plugins[0]: single-profile-handler: it cannot support multiple scheduling profiles",
            id="single-for-two",
        ),
        pytest.param(
            "plugins: [{type: data-parallel-profile-handler}]\n" + TWO,
            "plugins[0]: data-parallel-profile-handler: it cannot support multiple",
            id="ranks-for-two",
        ),
        pytest.param(
            "plugins: [{type: single-profile-handler, name: a},"
            " {type: header-profile-handler, name: b}]",
            "plugins[1]: multiple profile handlers found ('a', 'b'); only one is allowed",
            id="two-handlers",
        ),
        pytest.param(
            "plugins: [{type: disagg-profile-handler}]\nschedulingProfiles: [{name: p}]",
            "plugins[0]: disagg-profile-handler: profiles.decode: there is no profile 'decode'",
            id="nobody-decodes",
        ),
        pytest.param(
            "plugins: [{type: disagg-profile-handler,"
            " parameters: {deciders: {prefill: nobody}}}]\n" + TWO,
            "plugins[0].parameters.deciders.prefill: references undefined plugin 'nobody'",
            id="undefined-decider",
        ),
        pytest.param(
            "plugins: [{type: queue-scorer}, {type: disagg-profile-handler,"
            " parameters: {deciders: {prefill: queue-scorer}}}]\n" + TWO,
            "plugins[1].parameters.deciders.prefill: 'queue-scorer' is no decider",
            id="decider-of-another-kind",
        ),
        pytest.param(
            "plugins: [{type: pd-profile-handler}]\n" + TWO,
            "parameters.deciderPluginName: references undefined plugin 'prefix-based-pd-decider'",
            id="default-decider-of-the-old-handler",
        ),
        pytest.param(
            "plugins: [{type: disagg-profile-handler, parameters: {decodeProfile: a,"
            " profiles: {decode: b}}}]",
            "plugins[0].parameters: profiles and deciders: cannot be mixed",
            id="old-and-new-form",
        ),
        pytest.param(
            "plugins: [{type: disagg-profile-handler, parameters: {stageOrder: random}}]",
            "plugins[0].parameters.stageOrder: 'random' is not decode-first, prefill-first",
            id="stage-order",
        ),
        pytest.param(
            "plugins: [{type: disagg-profile-handler, parameters: {profiles: {decod: a}}}]",
            "plugins[0].parameters.profiles.decod: unknown field",
            id="misspelt-role",
        ),
        pytest.param(
            "plugins: [{type: disagg-profile-handler, parameters: {onFullStage: fail}}]",
            "plugins[0].parameters.onFullStage",
            id="full-stage",
        ),
        pytest.param(
            "plugins: [{type: header-profile-handler}]\nschedulingProfiles: [{name: a}, {name: a}]",
            "schedulingProfiles[1].name: duplicate profile name 'a'",
            id="duplicate-profile",
        ),
        pytest.param(
            "schedulingProfiles: [{name: ''}]",
            "schedulingProfiles[0].name: is empty",
            id="profile-without-name",
        ),
        pytest.param(
            "plugins: [{type: always-disagg-pd-decider}]\n"
            "schedulingProfiles: [{name: p, plugins: [{pluginRef: always-disagg-pd-decider}]}]",
            "plugins[0].pluginRef: 'always-disagg-pd-decider' is no filter, scorer or picker",
            id="decider-in-a-profile",
        ),
        pytest.param(
            DISAGG.replace(
                "name: decode, plugins: [{pluginRef: decode-filter}]",
                "name: decode, plugins: [{pluginRef: nothing}]",
            ),
            "schedulingProfiles[1].plugins[0].pluginRef: references undefined plugin 'nothing'",
            id="undefined-in-the-second-profile",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_place(body: str, text: str) -> None:
    assert text in problems(body)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (
            DISAGG.replace("nonCachedTokens: 16", "promptTokens: 16"),
            "plugins[2].parameters.nonCachedTokens: 0, so that no request is ever prefilled apart",
        ),
        (
            DISAGG.replace(", parameters: {deciders: {prefill: decider}}", ""),
            "plugins[3]: deciders.prefill: not given, so that profile 'prefill' never runs",
        ),
        (
            "plugins: [{type: disagg-headers-handler, parameters: {prefillProfile: p}}]",
            "plugins[0]: without effect, the profile handler sets the headers of the stages",
        ),
        (
            "plugins: [{type: data-parallel-profile-handler}]",
            "plugins[0]: deprecated",
        ),
        (
            "plugins: [{type: header-profile-handler, parameters: {defaultProfile: x}}]\n" + TWO,
            "plugins[0]: requests without EPP-Profile are refused",
        ),
    ],
)
def test_what_a_user_may_not_expect_is_told(body: str, text: str) -> None:
    assert any(text in line for line in read(body).differences)


def test_nothing_is_told_of_what_works() -> None:
    assert not [line for line in read(DISAGG).differences if "plugins[" in line]


SHADOWED = """
plugins:
- {type: queue-scorer}
- {type: random-picker}
- {type: utilization-detector}
schedulingProfiles:
- {name: live, plugins: [{pluginRef: queue-scorer}]}
shadowProfiles:
- {name: candidate, plugins: [{pluginRef: queue-scorer, weight: 2}, {pluginRef: random-picker},
   {pluginRef: utilization-detector}]}
- {name: other, maxLoopShare: 0.05}
"""


def test_shadow_profiles_and_which_of_all_decides() -> None:
    configuration = read(SHADOWED)
    assert configuration.profile.name == "live"
    assert [(s.profile.name, s.max_loop_share) for s in configuration.shadows] == [
        ("candidate", 0.01),
        ("other", 0.05),
    ]
    promoted = read(SHADOWED + "liveProfile: candidate\n")
    assert promoted.profile == configuration.shadows[0].profile
    assert [(s.profile.name, s.max_loop_share) for s in promoted.shadows] == [
        ("live", 0.01),
        ("other", 0.05),
    ]
    assert promoted.shadows[0].profile == configuration.profile
    same = read(SHADOWED + "liveProfile: live\n")
    assert (same.profile, same.shadows) == (configuration.profile, configuration.shadows)


def test_what_only_a_shadow_refers_to_changes_nothing_for_who_decides() -> None:
    alone = read(
        "plugins: [{type: queue-scorer}]\n"
        "schedulingProfiles: [{name: live, plugins: [{pluginRef: queue-scorer}]}]"
    )
    beside = read(SHADOWED)
    assert beside.profile == alone.profile  # not with the shadow's picker
    assert beside.detector == alone.detector  # nor with its filter
    assert read(SHADOWED + "liveProfile: other\n").detector == alone.detector
    named = SHADOWED + "saturationDetector: {pluginRef: utilization-detector}\n"
    assert read(named).detector == UtilizationDetector()


def test_that_the_go_picker_does_not_know_them_is_told() -> None:
    found = read(SHADOWED + "liveProfile: candidate\n").differences
    for name in ("shadowProfiles", "liveProfile"):
        assert f"{name}: ours; the Go picker refuses a document that has it" in found


ONE = "schedulingProfiles: [{name: live}]\n"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        pytest.param(
            ONE + "shadowProfiles: [{name: live}]",
            "shadowProfiles[0].name: duplicate profile name 'live'",
            id="name-of-another",
        ),
        pytest.param(
            ONE + "shadowProfiles: [{name: a}, {name: ''}]",
            "shadowProfiles[1].name: is empty",
            id="no-name",
        ),
        pytest.param(
            ONE + "shadowProfiles: [{name: a}, {name: b}, {name: c}, {name: d}, {name: e}]",
            "shadowProfiles: 5 are more than 4",
            id="too-many",
        ),
        pytest.param(
            ONE + "shadowProfiles: [{name: a, plugins: [{pluginRef: nobody}]}]",
            "shadowProfiles[0].plugins[0].pluginRef: references undefined plugin 'nobody'",
            id="undefined-plugin",
        ),
        pytest.param(
            ONE + "shadowProfiles: [{name: a, maxLoopShare: 0}]",
            "shadowProfiles[0].maxLoopShare: 0.0 is not above 0 and at most 1",
            id="no-time",
        ),
        pytest.param(
            ONE + "shadowProfiles: [{name: a, maxLoopShare: .nan}]",
            "shadowProfiles[0].maxLoopShare: nan is not above 0 and at most 1",
            id="not-a-number",
        ),
        pytest.param(
            ONE + "shadowProfiles: [{name: a, share: 1}]",
            "shadowProfiles[0].share: unknown field",
            id="misspelt",
        ),
        pytest.param(
            ONE + "shadowProfiles: [{name: a}]\nliveProfile: b",
            "liveProfile: 'b' is none of the profiles: live, a",
            id="nobody-decides",
        ),
        pytest.param(
            "shadowProfiles: [{name: a}]",
            "shadowProfiles: only beside schedulingProfiles",
            id="without-scheduling-profiles",
        ),
        pytest.param(
            DISAGG + "shadowProfiles: [{name: a}]\nliveProfile: a",
            "shadowProfiles: not with plugins[3], profile handler 'handler'",
            id="beside-stages",
        ),
        pytest.param(
            DISAGG + "liveProfile: decode",
            "liveProfile: not with plugins[3], profile handler 'handler'",
            id="live-of-stages",
        ),
    ],
)
def test_shadow_profiles_that_cannot_work_are_refused_with_their_place(
    body: str, text: str
) -> None:
    assert text in problems(body)
