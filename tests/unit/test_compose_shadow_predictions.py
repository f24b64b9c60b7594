"""What a shadow is predicted to cost or save, beside what it does cost or save when it decides."""

from __future__ import annotations

import random
import statistics
from functools import cache

import pytest

from tests.helpers.shadows import Watching
from tests.helpers.traffic import Asked, Traffic

DOCUMENT = """
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
featureGates: [flowControl=false]
plugins:
- {type: marginal-cost-scorer}
- {type: active-request-scorer}
- {type: random-picker}
- {type: max-score-picker}
schedulingProfiles:
- {name: drawn, plugins: [{pluginRef: random-picker}]}
shadowProfiles:
- name: cost
  maxLoopShare: 1
  plugins: [{pluginRef: marginal-cost-scorer}, {pluginRef: max-score-picker}]
- name: fewest
  maxLoopShare: 1
  plugins: [{pluginRef: active-request-scorer}, {pluginRef: max-score-picker}]
liveProfile: %s
"""
PROFILES = ("cost", "drawn", "fewest")
HEADS = [random.Random(n).randbytes(4 * 3000) for n in range(16)]  # of conversations


def conversations(rng: random.Random) -> Asked:
    tail = rng.randbytes(4 * max(16, int(rng.lognormvariate(5.0, 0.8))))
    return Asked(rng.choice(HEADS) + tail, max(2, int(rng.lognormvariate(4.0, 0.6))))


@cache
def with_live(profile: str) -> Traffic:
    traffic = Traffic(
        ["8b-h100"] * 4,
        conversations,
        rate=40.0,
        document=DOCUMENT % profile,
        shadowing=Watching().shadowing,
    )
    traffic.run(40.0)
    return traffic


@pytest.mark.parametrize("live", PROFILES)
def test_who_is_predicted_to_be_cheaper_is_quicker_when_it_decides(live: str) -> None:
    means = {profile: statistics.fmean(with_live(profile).latencies) for profile in PROFILES}
    statuses = with_live(live).picker.shadow_statuses
    assert {status.profile for status in statuses} == {*PROFILES} - {live}
    for status in statuses:
        assert status.counts.predicted > 1000
        assert status.cost_difference_seconds is not None
        assert (status.cost_difference_seconds < 0.0) is (means[status.profile] < means[live])
