"""Runs with images: encoded where they are asked about, or by servers of their own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import cycle
from typing import Any

import pytest

from epp.simulation.fleet.faults import Fault
from epp.simulation.fleet.records import RunRecords
from epp.simulation.fleet.run import FleetRun
from epp.simulation.fleet.servers import FleetSettings
from epp.simulation.fleet.transfers import LinkSettings
from epp.simulation.workloads.arrivals import Load, Timed
from epp.simulation.workloads.turns import Session, Texts, Turn, conversation
from tests.unit.simulation.fleet.runs import OFTEN, assert_idle, fleet_of, short_run

FLEET = fleet_of("2x8b-h100:encode+2x8b-h100:decode")
ENCODERS, DECODERS = {0, 1}, {2, 3}
IMAGE_SECONDS = 2000 * 20e-6  # of one of 2000 tokens, by the profile

THREE_STAGES = """
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
featureGates: [flowControl=false]
plugins:
- {type: encode-filter}
- {type: prefill-filter}
- {type: decode-filter}
- {type: always-disagg-pd-decider}
- {type: always-disagg-multimodal-decider}
- type: disagg-profile-handler
  parameters:
    deciders: {prefill: always-disagg-pd-decider, encode: always-disagg-multimodal-decider}
schedulingProfiles:
- {name: encode, plugins: [{pluginRef: encode-filter}]}
- {name: prefill, plugins: [{pluginRef: prefill-filter}]}
- {name: decode, plugins: [{pluginRef: decode-filter}]}
"""


def sessions(images: int = 2, output: int = 40) -> Iterable[Session]:
    texts = Texts()
    return (
        (Turn((*[texts.new_image(2000) for _ in range(images)], texts.new(50)), output),)
        for _ in cycle([0])
    )


def a_run(
    document: str = "encode-apart-by-cost",
    load: Load = OFTEN,
    asked: Iterable[Session] | None = None,
    fleet: FleetSettings = FLEET,
    **changed: Any,
) -> FleetRun:
    asked = sessions() if asked is None else asked
    return short_run(fleet, document, asked, load, **changed)


def encoding(records: RunRecords, servers: Iterable[int]) -> float:
    return sum(records.servers[n].encoding for n in servers)


@pytest.mark.parametrize("name", ["encode-apart", "encode-apart-by-cost"])
def test_images_are_encoded_by_others_and_nothing_else_of_a_request(name: str) -> None:
    run = a_run(name, load=Timed(tuple(n * 0.1 for n in range(150))))
    records = run.run()
    assert all(record.served for record in records.requests)
    assert {record.server for record in records.requests} == DECODERS
    assert encoding(records, DECODERS) == 0.0
    assert encoding(records, ENCODERS) == pytest.approx(300 * IMAGE_SECONDS, rel=0.02)
    assert sum(records.servers[n].prefilling for n in ENCODERS) == 0.0
    assert records.output_tokens == 150 * 40
    assert_idle(run)


def test_without_roles_they_are_encoded_where_they_are_asked_about() -> None:
    run = a_run("marginal-cost", fleet=FleetSettings(FLEET.profiles))
    records = run.run()
    assert all(record.served for record in records.requests)
    assert encoding(records, range(4)) == pytest.approx(400 * IMAGE_SECONDS, rel=0.02)
    assert_idle(run)


def test_texts_pass_the_encoders() -> None:
    records = a_run(asked=sessions(images=0)).run()
    assert all(record.served for record in records.requests)
    assert sum(use.busy for use in (records.servers[n] for n in ENCODERS)) == 0.0


def first_token(document: str = "encode-apart-by-cost", images: int = 2, **changed: Any) -> float:
    run = a_run(document, load=Timed((0.0,)), asked=sessions(images), **changed)
    [record] = run.run().requests
    return record.ttft_seconds


def test_two_encoders_share_the_images_of_a_request() -> None:
    together = FleetSettings(FLEET.profiles)
    apart = first_token(images=4)
    assert first_token("marginal-cost", images=4, fleet=together) - apart == pytest.approx(
        2 * IMAGE_SECONDS, rel=0.25
    )


def test_embeddings_take_their_time_on_the_way() -> None:
    def over(bytes_per_second: float) -> float:
        links = LinkSettings(bytes_per_second, setup_seconds=0.0)
        return first_token(fleet=replace(FLEET, links=links))

    sent = 2 * 2000 * 8192  # images, tokens, bytes of each
    assert over(1e8) - over(1e12) == pytest.approx(sent / 1e8, rel=0.03)


def test_an_image_that_comes_twice_in_a_prompt_is_encoded_once() -> None:
    texts = Texts()
    image = texts.new_image(2000)
    records = a_run(load=Timed((0.0,)), asked=[(Turn((image, image, texts.new(50)), 5),)]).run()
    assert encoding(records, ENCODERS) == pytest.approx(IMAGE_SECONDS, rel=0.2)


@pytest.mark.parametrize(("name", "times"), [("encode-apart", 4), ("encode-apart-by-cost", 1)])
def test_what_a_conversation_has_shown_before_is_encoded_again_by_some(
    name: str, times: int
) -> None:
    """The caches of the encoders are too small for it."""
    texts = Texts()
    shown = tuple(texts.new_image(3500) for _ in range(6))
    turns = conversation(texts, shown, [(50, 20, 1.0)] * 4, "one")
    fleet = fleet_of("8b-h100:encode+8b-h100:decode")
    records = a_run(name, load=Timed((0.0,)), asked=[turns], fleet=fleet).run()
    assert len(records.requests) == 4
    assert encoding(records, {0}) == pytest.approx(times * 6 * 3500 * 20e-6, rel=0.1)


def test_three_stages_follow_each_other() -> None:
    fleet = fleet_of("8b-h100:encode+8b-h100:prefill+8b-h100:decode")
    run = a_run(THREE_STAGES, load=Timed(tuple(n * 0.3 for n in range(60))), fleet=fleet)
    records = run.run()
    assert all(record.served for record in records.requests)
    encoder, prefiller, decoder = records.servers
    assert encoder.encoding == pytest.approx(120 * IMAGE_SECONDS, rel=0.03)
    assert (prefiller.encoding, decoder.encoding) == (0.0, 0.0)
    assert prefiller.prefilling > 15 * decoder.prefilling
    assert_idle(run)


@pytest.mark.parametrize("server", [0, 2])
@pytest.mark.parametrize("sees_tokens", [True, False])
def test_a_crash_of_any_loses_each_request_once(server: int, sees_tokens: bool) -> None:
    run = a_run(
        faults=(Fault(5.02, "crash", server, 5.0), Fault(12.0, "crash", server, 0.5)),
        sees_tokens=sees_tokens,
    )
    records = run.run()
    assert len(records.requests) == 200
    assert all(record.served != record.lost for record in records.requests)
    assert 0 < sum(record.lost for record in records.requests) < 40
    assert_idle(run)


def test_encoders_that_cannot_keep_up_hold_requests_up_for_images() -> None:
    fleet = fleet_of("8b-l4:encode+2x8b-h100:decode")
    encoder, *_ = a_run(asked=sessions(images=3), fleet=fleet).run().servers
    assert encoder.encoding > 0.95 * 20.0
    assert encoder.held_up["images"] > 10.0
