from __future__ import annotations

import random

from epp.compose import Picker, compose
from epp.config.build import read_configuration
from epp.configured import Outside
from epp.core.request import RequestFacts
from epp.datalayer.store import EndpointSpec
from tests.helpers.disaggregation import a_disagg_picker, an_arrival, endpoint, with_places

DOCUMENT = """
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins:
- {type: label-selector-filter, parameters: {matchLabels: {tier: big}}}
- {type: queue-scorer}
- {type: concurrency-detector, parameters: {maxConcurrency: 1}}
schedulingProfiles:
- {name: default, plugins: [{pluginRef: label-selector-filter}, {pluginRef: queue-scorer}]}
flowControl: {saturationDetector: {pluginRef: concurrency-detector}}
"""


def a_picker(*tiers: str) -> Picker:
    picker = compose(read_configuration(DOCUMENT), Outside(random.Random(1), lambda: "id"))
    picker.store.apply(
        [
            EndpointSpec(f"e{n}", f"10.0.0.{n}", 80, labels={"tier": tier})
            for n, tier in enumerate(tiers)
        ]
    )
    return picker


def test_an_attempt_in_vain_says_where_the_request_fits() -> None:
    attempt = a_picker("big", "big", "small").configured.attempt
    facts, narrow = RequestFacts("1"), RequestFacts("2", subset=frozenset({"10.0.0.1"}))
    for _ in range(2):
        assert attempt(RequestFacts("r"), 1.0) is not None
    assert attempt(facts, 1.0) is None
    assert attempt(narrow, 1.0) is None
    assert [endpoint.name for endpoint in facts.full] == ["e0", "e1"]
    assert [endpoint.name for endpoint in narrow.full] == ["e1"]
    assert not attempt.has_room(facts.full, 1.0)
    assert attempt.has_room(attempt.pool(), 1.0)  # on the small one


def test_without_endpoints_it_fits_nowhere() -> None:
    attempt, facts = a_picker().configured.attempt, RequestFacts("1")
    assert attempt(facts, 1.0) is None
    assert list(facts.full) == []
    assert not attempt.has_room(facts.full, 1.0)


def test_every_change_of_the_pool_makes_another_object_of_it() -> None:
    picker = a_picker("big")
    attempt = picker.configured.attempt
    before = attempt.pool()
    assert attempt.pool() is before
    [only] = picker.store.endpoints
    picker.store.set_reachable(only, reachable=False)
    picker.store.set_reachable(only, reachable=True)
    assert attempt.pool() is not before


def test_of_several_profiles_it_says_where_the_full_one_fits() -> None:
    picker = a_disagg_picker(
        more=with_places(1), pool={"p0": "prefill", "d0": "decode", "d1": "decode"}
    )
    attempt = picker.configured.attempt
    assert picker.director.begin(an_arrival(1000, text="a"), 1.0).placed is not None
    facts = picker.director.begin(an_arrival(1000, text="b"), 1.0).facts
    assert attempt(facts, 1.0) is None
    assert facts.full == [endpoint(picker, "p0")]
    assert picker.director.begin(an_arrival(10), 1.0).placed is not None
    assert attempt(facts, 1.0) is None
    assert facts.full == [endpoint(picker, "d0"), endpoint(picker, "d1")]
    assert not attempt.has_room(facts.full, 1.0)
