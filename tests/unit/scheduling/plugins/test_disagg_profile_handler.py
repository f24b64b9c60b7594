from __future__ import annotations

import pytest

from epp.core.stages import Role, Stage
from epp.scheduling.plugins.disagg_profile_handler import (
    DeciderNames,
    DisaggProfileHandler,
    ProfileNames,
)
from tests.helpers.build import a_request, an_endpoint

ALL = ("encode", "prefill", "decode")
BOTH = DeciderNames(prefill="p-decider", encode="e-decider")
DECODE = Stage(Role.DECODE, "decode")


def stages(handler: DisaggProfileHandler, profiles: tuple[str, ...] = ALL) -> list[Stage]:
    return list(handler.stages(a_request(), profiles))


def test_decode_comes_first() -> None:
    assert stages(DisaggProfileHandler(deciders=BOTH)) == [
        DECODE,
        Stage(Role.ENCODE, "encode", "e-decider"),
        Stage(Role.PREFILL, "prefill", "p-decider"),
    ]


def test_a_stage_without_decider_or_profile_never_runs() -> None:
    assert stages(DisaggProfileHandler()) == [DECODE]
    assert stages(DisaggProfileHandler(deciders=BOTH), ("decode",)) == [DECODE]


@pytest.mark.parametrize("order", ["prefill-first", "prefill", "PrefillFirst", "prefill_first"])
def test_prefill_first_is_for_every_request(order: str) -> None:
    handler = DisaggProfileHandler(order, deciders=DeciderNames(encode="e-decider"))
    assert stages(handler) == [
        Stage(Role.PREFILL, "prefill"),
        Stage(Role.ENCODE, "encode", "e-decider"),
        DECODE,
    ]
    assert stages(handler, ("decode", "encode"))[0].role is Role.ENCODE


def test_older_parameters_mean_the_same() -> None:
    newer = DisaggProfileHandler(profiles=ProfileNames("d", "p", "e"), deciders=BOTH)
    older = DisaggProfileHandler(
        decode_profile="d",
        prefill_profile="p",
        encode_profile="e",
        prefill_decider_plugin_name="p-decider",
        encode_decider_plugin_name="e-decider",
    )
    names = ("d", "p", "e")
    assert stages(older, names) == stages(newer, names)
    assert older.decider_names() == {
        "prefillDeciderPluginName": "p-decider",
        "encodeDeciderPluginName": "e-decider",
    }
    assert newer.decider_names() == {
        "deciders.prefill": "p-decider",
        "deciders.encode": "e-decider",
    }
    oldest = DisaggProfileHandler(decider_plugin_name="p-decider")
    assert oldest.decider_names() == {"deciderPluginName": "p-decider"}


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"stage_order": "encode-first"}, "stageOrder"),
        ({"decode_profile": "d", "deciders": BOTH}, "cannot be mixed with the older decodeProfile"),
        (
            {"decider_plugin_name": "a", "prefill_decider_plugin_name": "b"},
            "deciderPluginName: is the older name",
        ),
        (
            {"stage_order": "prefill-first", "deciders": BOTH},
            "deciders.prefill: with stageOrder prefill-first nothing is to decide",
        ),
    ],
)
def test_what_is_wrong_is_named(wrong: dict[str, object], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        DisaggProfileHandler(**wrong)  # type: ignore[arg-type]


def test_full_stages_can_be_left_out() -> None:
    handler = DisaggProfileHandler(deciders=BOTH, on_full_stage="skip")
    assert [stage.skip_when_full for stage in stages(handler)] == [False, True, True]


def test_what_has_no_effect_is_told() -> None:
    assert DisaggProfileHandler(deciders=BOTH).check(ALL) == []
    assert DisaggProfileHandler("prefill-first").check(("decode", "prefill")) == []
    unasked = DisaggProfileHandler(deciders=BOTH).check(("decode", "prefill"))
    assert unasked == [
        "deciders.encode: 'e-decider' is never asked, since there is no profile 'encode'"
    ]
    undecided = DisaggProfileHandler().check(("decode", "prefill", "prefil"))
    assert undecided == [
        "deciders.prefill: not given, so that profile 'prefill' never runs",
        "profile 'prefil' never runs",
    ]


@pytest.mark.parametrize(
    ("handler", "text"),
    [
        (DisaggProfileHandler(), "profiles.decode: there is no profile 'decode'"),
        (
            DisaggProfileHandler(profiles=ProfileNames(decode="p", prefill="x")),
            "profiles.prefill: there is no profile 'x'",
        ),
        (DisaggProfileHandler(decode_profile="y"), "decodeProfile: there is no profile 'y'"),
    ],
)
def test_a_profile_that_is_named_is_there(handler: DisaggProfileHandler, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        handler.check(("p",))


def test_the_decoder_is_told_who_prefills_and_encodes() -> None:
    decoder, prefiller, spare = an_endpoint(), an_endpoint(), an_endpoint()
    encoders = (an_endpoint(address="10.1.1.1"), an_endpoint(address="fd00::1"))
    handler = DisaggProfileHandler()
    picks = {Role.DECODE: (decoder,), Role.PREFILL: (prefiller, spare), Role.ENCODE: encoders}
    assert handler.request_headers(picks) == {
        "x-prefiller-host-port": prefiller.authority,
        "x-encoder-hosts-ports": "10.1.1.1:8000,[fd00::1]:8000",
    }
    assert handler.request_headers({Role.DECODE: (decoder,)}) == {}
