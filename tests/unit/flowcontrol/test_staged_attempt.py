from __future__ import annotations

import pytest

from epp.core.decision import Waiting
from epp.core.refusal import Reason, Refused
from epp.director import Arrival, Cause, Ending
from tests.helpers.disaggregation import (
    DECIDERS,
    POOL,
    a_disagg_picker,
    an_arrival,
    apply,
    decision_of,
    endpoint,
    roles_of,
    with_places,
)

ENDING = Ending(Cause.NATURAL)
SHORT, LONG = 10, 1000
BODYLESS = Arrival({":path": "/version", ":method": "GET"}, b"", True, False, 0.0)
PREFILL_FIRST = (
    "- {type: disagg-profile-handler, parameters: {stageOrder: prefill-first, "
    "deciders: {encode: always-disagg-multimodal-decider}}}"
)
SKIPPING = f"- {{type: disagg-profile-handler, parameters: {{onFullStage: skip, {DECIDERS}}}}}"


@pytest.mark.parametrize(
    ("tokens", "image", "shared", "headers"),
    [
        pytest.param(SHORT, False, "decode-only", set(), id="short"),
        pytest.param(LONG, False, "prefill-decode", {"x-prefiller-host-port"}, id="long"),
        pytest.param(
            LONG,
            True,
            "encode-prefill-decode",
            {"x-prefiller-host-port", "x-encoder-hosts-ports"},
            id="long-with-an-image",
        ),
    ],
)
def test_the_deciders_say_which_stages_run(
    tokens: int, image: bool, shared: str, headers: set[str]
) -> None:
    picker = a_disagg_picker()
    decision, record = decision_of(picker.director.begin(an_arrival(tokens, image=image), 1.0))
    assert record.disaggregation == shared
    assert set(decision.request_headers) == headers
    assert decision.ordered[0].name.startswith("d")
    assert (record.profile, record.handler) == ("decode", "disagg-profile-handler")
    assert [stage.role.value for stage in record.stages] == ["encode", "prefill"]


def test_a_lease_says_what_its_endpoint_does_for_the_request() -> None:
    picker = a_disagg_picker()
    decision, _ = decision_of(picker.director.begin(an_arrival(LONG, image=True), 1.0))
    assert [lease.role.value for lease in decision.leases] == ["decode"]
    assert {lease.role.value for lease in decision.early_leases} == {"encode", "prefill"}


def test_the_decoder_is_told_where_its_prompt_is_computed() -> None:
    picker = a_disagg_picker()
    decision, record = decision_of(picker.director.begin(an_arrival(LONG, image=True), 1.0))
    encode, prefill = record.stages
    assert decision.request_headers == {
        "x-prefiller-host-port": prefill.picked[0].authority,
        "x-encoder-hosts-ports": endpoint(picker, "e0").authority,
    }
    assert [e.name for e in encode.picked] == ["e0"]
    assert {e.name for e in prefill.candidates} == {"p0", "p1"}
    assert {e.name for e in record.candidates} == {"d0", "d1"}


def test_every_stage_holds_its_own_load() -> None:
    picker = a_disagg_picker()
    begun = picker.director.begin(an_arrival(LONG, image=True), 1.0)
    decision, record = decision_of(begun)
    encode, prefill = record.stages
    decoder, prefiller = decision.ordered[0].load, prefill.picked[0].load
    tokens, media = begun.facts.prompt_tokens, begun.facts.media_tokens
    assert (decoder.requests, decoder.prompt_tokens, decoder.uncached_tokens) == (1, tokens, 0)
    assert prefiller.requests == 1
    assert prefiller.prompt_tokens == prefiller.prefilling_tokens == tokens
    assert encode.picked[0].load.prompt_tokens == media > 0
    assert picker.ledger.leases_held == 3


def test_whose_prefix_is_cached_is_not_prefilled_apart() -> None:
    picker = a_disagg_picker()
    first = picker.director.begin(an_arrival(LONG), 1.0)
    picker.director.responding(first.facts, "", 200, 1.0)
    picker.director.finish(first.facts, ENDING, 2.0)
    decision, record = decision_of(picker.director.begin(an_arrival(LONG), 3.0))
    assert roles_of(record) == {"encode": "decider", "prefill": "decider"}
    assert decision.ordered == decision_of(first)[0].ordered
    assert record.cached_tokens >= LONG - 100


def test_the_prefiller_computes_what_it_has_not_cached() -> None:
    picker = a_disagg_picker(pool={"p0": "prefill", "d0": "decode", "d1": "decode"})
    first = picker.director.begin(an_arrival(LONG), 1.0)
    picker.director.responding(first.facts, "", 200, 1.0)
    picker.director.finish(first.facts, ENDING, 2.0)
    apply(picker, {"p0": "prefill", "d9": "decode"})  # who decodes now has never seen it
    decision_of(picker.director.begin(an_arrival(LONG), 3.0))
    assert endpoint(picker, "p0").load.prefilling_tokens < 100


@pytest.mark.parametrize("gone", ["prefill", "encode"])
def test_without_endpoints_for_a_stage_the_decoder_does_it(gone: str) -> None:
    picker = a_disagg_picker(pool={n: role for n, role in POOL.items() if role != gone})
    decision, record = decision_of(picker.director.begin(an_arrival(LONG, image=True), 1.0))
    assert roles_of(record)[gone] == "no-endpoints"
    assert len(decision.early_leases) == 1


def test_without_anyone_to_decode_the_refusal_names_the_profile() -> None:
    picker = a_disagg_picker(pool={"p0": "prefill"})
    begun = picker.director.begin(an_arrival(LONG), 1.0)
    assert begun.refused is not None
    assert begun.refused.reason is Reason.SATURATED
    assert "none passes the filters of profile 'decode'" in begun.refused.detail


def test_who_decodes_is_not_told_to_prefill_at_itself() -> None:
    picker = a_disagg_picker(pool={"b0": "both"})
    decision, record = decision_of(picker.director.begin(an_arrival(LONG), 1.0))
    assert roles_of(record)["prefill"] == "same-endpoint"
    assert decision.request_headers == {}
    load = endpoint(picker, "b0").load
    assert (load.requests, load.uncached_tokens) == (1, load.prompt_tokens)


def test_a_request_waits_until_every_stage_has_room() -> None:
    pool = {"p0": "prefill", "d0": "decode"}
    picker = a_disagg_picker(more=with_places(2), pool=pool)
    first, second = (picker.director.begin(an_arrival(LONG, text=t), 1.0) for t in "ab")
    late = picker.director.begin(an_arrival(LONG, text="c"), 1.0)
    short = picker.director.begin(an_arrival(SHORT), 1.0)
    assert isinstance(late.outcome, Waiting)
    assert isinstance(short.outcome, Waiting)  # nobody has room to decode either
    assert late.facts.full_profile == "decode"
    assert picker.director.first_token(first.facts, 1.0)
    assert picker.director.something_changed(2.0) == []
    [(facts, outcome)] = picker.director.finish(second.facts, ENDING, 3.0)
    assert facts is late.facts
    assert not isinstance(outcome, Refused)


def test_who_needs_no_prefill_passes_those_who_wait_for_it() -> None:
    pool = {"p0": "prefill", **{f"d{n}": "decode" for n in range(4)}}
    picker = a_disagg_picker(more=with_places(1), pool=pool)
    first = picker.director.begin(an_arrival(LONG, text="a"), 1.0)
    late = picker.director.begin(an_arrival(LONG, text="b"), 1.0)
    assert isinstance(late.outcome, Waiting)
    assert late.facts.full_profile == "prefill"
    assert picker.ledger.leases_held == 2  # nothing is held while one waits
    decision_of(picker.director.begin(an_arrival(SHORT), 1.0))
    assert picker.director.first_token(first.facts, 1.0)
    [(facts, _)] = picker.director.something_changed(2.0)
    assert facts is late.facts


def test_a_refusal_after_waiting_names_what_was_full() -> None:
    pool = {"p0": "prefill", "d0": "decode", "d1": "decode"}
    picker = a_disagg_picker(more=with_places(1), pool=pool)
    picker.director.begin(an_arrival(LONG, text="a"), 1.0)
    picker.director.begin(an_arrival(LONG, text="b"), 1.0)
    [(_, outcome)] = picker.director.something_changed(7.0)
    assert isinstance(outcome, Refused)
    assert outcome.reason is Reason.TTL_EXPIRED
    assert outcome.detail.endswith(": profile 'prefill' has no room")


def test_a_full_stage_can_be_left_to_the_decoder() -> None:
    pool = {"p0": "prefill", "d0": "decode", "d1": "decode"}
    picker = a_disagg_picker(SKIPPING, more=with_places(1), pool=pool)
    picker.director.begin(an_arrival(LONG, text="a"), 1.0)
    _, record = decision_of(picker.director.begin(an_arrival(LONG, text="b"), 1.0))
    assert roles_of(record)["prefill"] == "no-room"


def test_without_flow_control_every_stage_is_placed_full_or_not() -> None:
    pool = {"p0": "prefill", "d0": "decode"}
    head = "featureGates: [flowControl=false]"
    picker = a_disagg_picker(more=with_places(1), pool=pool, head=head)
    for n in range(5):
        _, record = decision_of(picker.director.begin(an_arrival(LONG, text=str(n)), 1.0))
        assert record.disaggregation == "prefill-decode"
    assert endpoint(picker, "p0").load.requests == 5


def test_prefill_first_prefills_every_request() -> None:
    picker = a_disagg_picker(PREFILL_FIRST)
    begun = picker.director.begin(an_arrival(SHORT), 1.0)
    _, record = decision_of(begun)
    assert record.disaggregation == "prefill-decode"
    assert begun.facts.peer is record.stages[0].picked[0]  # for those who decode near to it


def test_prefill_first_without_prefillers_decodes() -> None:
    picker = a_disagg_picker(PREFILL_FIRST, pool={"d0": "decode"})
    begun = picker.director.begin(an_arrival(LONG), 1.0)
    assert roles_of(decision_of(begun)[1])["prefill"] == "no-endpoints"
    assert begun.facts.peer is endpoint(picker, "d0")


def test_a_request_without_a_body_is_only_sent_on() -> None:
    picker = a_disagg_picker(PREFILL_FIRST)
    decision, record = decision_of(picker.director.begin(BODYLESS, 1.0))
    assert (record.stages, decision.leases, decision.early_leases) == ((), (), ())
    assert decision.ordered[0].name.startswith("d")


def test_an_empty_pool_is_a_lack_of_endpoints() -> None:
    begun = a_disagg_picker(pool={}).director.begin(an_arrival(LONG), 1.0)
    assert begun.refused is not None
    assert begun.refused.reason is Reason.NO_ENDPOINTS


def test_fallbacks_are_those_who_decode() -> None:
    picker = a_disagg_picker(more=with_places(1))
    picker.director.begin(an_arrival(SHORT), 1.0)
    arrival = an_arrival(LONG)
    arrival.takes_lists = True
    decision, _ = decision_of(picker.director.begin(arrival, 1.0))
    assert [e.load.requests for e in decision.ordered] == [1, 1]
    assert {e.name for e in decision.ordered} == {"d0", "d1"}  # the full one comes last
    assert decision.leases[0].endpoint is decision.ordered[0]


def test_several_encoders_share_the_media() -> None:
    pool = {"e0": "encode", "e1": "encode", "d0": "decode"}
    two = "- {type: max-score-picker, parameters: {maxNumOfEndpoints: 2}}"
    profiles = """
schedulingProfiles:
- {name: encode, plugins: [{pluginRef: encode-filter}, {pluginRef: max-score-picker}]}
- {name: decode, plugins: [{pluginRef: decode-filter}, {pluginRef: random-picker}]}
"""
    picker = a_disagg_picker(
        more=f"{two}\n- {{type: random-picker}}",
        handler="- {type: disagg-profile-handler, parameters: "
        "{deciders: {encode: always-disagg-multimodal-decider}}}",
        pool=pool,
        profiles=profiles,
    )
    begun = picker.director.begin(an_arrival(SHORT, image=True), 1.0)
    decision, _ = decision_of(begun)
    assert len(decision.request_headers["x-encoder-hosts-ports"].split(",")) == 2
    share = -(-begun.facts.media_tokens // 2)
    assert [endpoint(picker, e).load.prompt_tokens for e in ("e0", "e1")] == [share, share]


def test_a_profile_by_header_and_none_by_an_unknown_one() -> None:
    picker = a_disagg_picker("- {type: header-profile-handler}")
    by_name = picker.director.begin(an_arrival(SHORT, epp_profile="prefill"), 1.0)
    assert decision_of(by_name)[1].picked[0].name.startswith("p")
    usual = picker.director.begin(an_arrival(SHORT), 1.0)
    assert decision_of(usual)[1].profile == "decode"
    begun = picker.director.begin(an_arrival(SHORT, epp_profile="x"), 1.0)
    assert begun.refused is not None
    assert begun.refused.reason is Reason.SATURATED
    assert "header-profile-handler runs no profile for it" in begun.refused.detail


def test_a_rank_is_told_apart_from_where_it_is_reached() -> None:
    profiles = "schedulingProfiles: [{name: p, plugins: [{pluginRef: active-request-scorer}]}]"
    picker = a_disagg_picker(
        "- {type: data-parallel-profile-handler, parameters: {primaryPort: 9000}}",
        profiles=profiles,
        pool={"d0": "", "d1": ""},
    )
    arrival = an_arrival(SHORT)
    arrival.takes_lists = True
    begun = picker.director.begin(arrival, 1.0)
    decision, _ = decision_of(begun)
    [rank] = decision.ordered  # a fallback would be told the rank of another pod
    assert decision.destination == f"{rank.address}:9000"
    assert decision.request_headers == {"x-data-parallel-host-port": rank.authority}
    picker.director.responding(begun.facts, decision.destination, 200, 1.5)
    assert rank.load.requests == 1
    assert picker.index.tokens_of(rank) == 0  # of a prompt that no scorer asks about


def test_a_coordinator_may_ask_for_a_decoder_that_has_the_prompt() -> None:
    picker = a_disagg_picker("- {type: header-profile-handler}")
    begun = picker.director.begin(an_arrival(LONG, prefer="if-available"), 1.0)
    assert begun.refused is not None
    assert begun.refused.reason is Reason.NOT_CACHED
    assert picker.ledger.leases_held == 0
    first = picker.director.begin(an_arrival(LONG), 2.0)
    picker.director.responding(first.facts, "", 200, 1.0)
    again = picker.director.begin(an_arrival(LONG, prefer="if-available"), 3.0)
    assert decision_of(again)[0].ordered == decision_of(first)[0].ordered


def test_a_subset_binds_every_stage() -> None:
    picker = a_disagg_picker()
    arrival = an_arrival(LONG)
    allowed = frozenset(endpoint(picker, name).authority for name in ("p1", "d1"))
    arrival.subset = allowed
    decision, _ = decision_of(picker.director.begin(arrival, 1.0))
    assert decision.ordered[0].name == "d1"
    assert decision.request_headers["x-prefiller-host-port"] in allowed


def test_the_client_is_told_its_session_by_who_decodes() -> None:
    profiles = """
schedulingProfiles:
- {name: prefill, plugins: [{pluginRef: prefill-filter}, {pluginRef: active-request-scorer}]}
- name: decode
  plugins: [{pluginRef: decode-filter}, {pluginRef: session-affinity-scorer}]
"""
    picker = a_disagg_picker(more="- {type: session-affinity-scorer}", profiles=profiles)
    decision, _ = decision_of(picker.director.begin(an_arrival(LONG), 1.0))
    decoder = decision.ordered[0]
    assert set(decision.response_headers_by_server) == {decoder.authority}
    token = decision.response_headers_of("")["x-session-token"]
    arrival = an_arrival(LONG, text="another", x_session_token=token)
    again, record = decision_of(picker.director.begin(arrival, 2.0))
    assert again.ordered[0] is decoder
    assert record.disaggregation == "prefill-decode"
