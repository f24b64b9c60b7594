from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

from epp.compose import Picker, compose
from epp.config.build import read_configuration
from epp.configured import Outside, read_arrival
from epp.core.stopwatch import TIMED_EVERY, Part, Stopwatch
from epp.datalayer.store import EndpointSpec
from epp.director import Arrival
from epp.payloads.request import READERS, read_request
from epp.timed import PARSERS, TimedReading
from tests.helpers.disaggregation import DISAGG, HEAD, PLUGINS, POOL, PROFILES, an_arrival, apply

DOCUMENT = f"""{HEAD}
plugins:
- {{type: label-selector-filter, name: tier-a, parameters: {{matchLabels: {{tier: a}}}}}}
- {{type: round-robin-picker, name: turns}}
- {{type: prefix-cache-scorer}}
- {{type: probabilistic-admitter, name: shed}}
schedulingProfiles:
- name: default
  plugins: [{{pluginRef: tier-a}}, {{pluginRef: prefix-cache-scorer}}, {{pluginRef: turns}}]
"""


def a_picker(document: str, runs: Counter[tuple[str, str, str]]) -> Picker:
    def observer_of(part: Part) -> Callable[[float], None]:
        def observe(_seconds: float) -> None:
            runs[part.point, part.plugin_type, part.plugin_name] += 1

        return observe

    stopwatch = Stopwatch(lambda: 0.0, observer_of)
    outside = Outside(
        random.Random(1),
        lambda: "made-up",
        read_payload=TimedReading(read_arrival, stopwatch),
        stopwatch=stopwatch,
    )
    return compose(read_configuration(document), outside)


def test_one_decision_in_so_many_is_timed_by_point_type_and_name() -> None:
    runs: Counter[tuple[str, str, str]] = Counter()
    picker = a_picker(DOCUMENT, runs)
    picker.store.apply([EndpointSpec("a", "10.0.0.1", 80, labels={"tier": "a"})])
    picker.ledger.missed(picker.store.endpoints[0])
    for _ in range(TIMED_EVERY + 1):
        assert picker.director.begin(an_arrival(300), 1.0).placed is not None
    assert runs == {
        ("RequestParsing", "openai-parser", "openai-parser"): 2,
        ("Admission", "probabilistic-admitter", "shed"): 2,
        ("DataProducer", "approx-prefix-cache-producer", "prefix-cache"): 2,
        ("Filter", "label-selector-filter", "tier-a"): 2,
        ("Scorer", "prefix-cache-scorer", "prefix-cache-scorer"): 2,
        ("Picker", "round-robin-picker", "turns"): 2,
    }


def test_a_handler_is_timed_where_it_chooses_profiles_and_where_it_joins_their_results() -> None:
    runs: Counter[tuple[str, str, str]] = Counter()
    picker = a_picker(f"{HEAD}\nplugins:{PLUGINS}{DISAGG}\n{PROFILES}", runs)
    apply(picker, POOL)
    assert picker.director.begin(an_arrival(1000), 1.0).placed is not None
    handler = "disagg-profile-handler"
    assert runs["ProfilePicker", handler, handler] == 1
    assert runs["ProcessProfilesResults", handler, handler] == 1
    assert runs["Filter", "prefill-filter", "prefill-filter"] == 1
    assert runs["Scorer", "active-request-scorer", "active-request-scorer"] == 2
    assert runs["Picker", "max-score-picker", "max-score-picker"] == 2


def test_a_decision_that_keeps_laps_is_timed_out_of_turn() -> None:
    runs: Counter[tuple[str, str, str]] = Counter()
    picker = a_picker(DOCUMENT, runs)
    picker.store.apply([EndpointSpec("a", "10.0.0.1", 80, labels={"tier": "a"})])
    facts = picker.director.begin(an_arrival(300), 1.0).facts
    facts.laps = []
    assert picker.configured.attempt(facts, 1.0) is not None
    assert [lap.part.point for lap in facts.laps] == ["Filter", "DataProducer", "Scorer", "Picker"]
    assert {lap.part.profile for lap in facts.laps} == {"default", ""}


def test_every_family_of_payloads_has_its_parser() -> None:
    body = b'{"messages":[{}],"prompt":"hi","input":"hi","items":["hi"],"token_ids":[1]}'
    paths = (*(suffix for suffix, _ in READERS), "/another")
    assert {read_request(path, {}, body).api for path in paths} == set(PARSERS)


def test_without_a_stopwatch_nothing_is_timed() -> None:
    picker = compose(read_configuration(DOCUMENT), Outside(random.Random(1), lambda: "made-up"))
    assert picker.configured.attempt.timed is None
    arrival = Arrival({":path": "/version"}, b"", True, False, 0.0)
    assert picker.director.begin(arrival, 1.0).facts.laps is None
