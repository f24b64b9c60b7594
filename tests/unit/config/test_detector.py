from __future__ import annotations

import pytest

from epp.scheduling.plugins.capacity_detector import CapacityDetector
from epp.scheduling.plugins.utilization_detector import UtilizationDetector
from tests.unit.config.documents import problems, read


@pytest.mark.parametrize(
    ("body", "where"),
    [
        (
            "flowControl: {saturationDetector: {pluginRef: utilization-detector}}",
            "flowControl.saturationDetector.pluginRef: ",
        ),
        (
            "saturationDetector: {pluginRef: utilization-detector}",
            "saturationDetector.pluginRef: ",
        ),
    ],
)
def test_the_usual_one_is_made_where_it_is_named_and_not_listed(body: str, where: str) -> None:
    configuration = read(body)
    assert configuration.detector == UtilizationDetector()
    assert configuration.detector.queue_depth_threshold == 5
    assert configuration.detector.kv_cache_util_threshold == 0.8
    assert any(
        line.startswith(f"{where}thresholds count per endpoint")
        for line in configuration.differences
    )


def test_no_other_is_made() -> None:
    assert problems("saturationDetector: {pluginRef: concurrency-detector}") == (
        "saturationDetector.pluginRef: references undefined plugin 'concurrency-detector'"
    )


@pytest.mark.parametrize(
    ("gates", "told"), [("[]", True), ("[flowControl]", True), ("[flowControl=false]", False)]
)
def test_ours_is_told_of_where_requests_wait(gates: str, told: bool) -> None:
    configuration = read(f"featureGates: {gates}")
    assert configuration.detector == CapacityDetector()
    line = "flowControl.saturationDetector: none is named, so capacity-detector says which"
    assert any(found.startswith(line) for found in configuration.differences) is told


def test_the_usual_one_counts_where_it_is_listed_by_its_type() -> None:
    listed = "plugins: [{type: utilization-detector, parameters: {queueDepthThreshold: 7}}]"
    configuration = read(listed)
    assert configuration.detector == UtilizationDetector(queue_depth_threshold=7)
    assert not any("none is named" in line for line in configuration.differences)
    renamed = listed.replace("detector,", "detector, name: mine,")
    assert read(renamed).detector == CapacityDetector()
