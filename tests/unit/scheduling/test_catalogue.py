from __future__ import annotations

from epp.scheduling.catalogue import discover
from epp.scheduling.interfaces import Plugin


def test_every_plugin_is_found_by_its_type() -> None:
    assert set(discover()) == {
        "active-request-scorer",
        "concurrency-detector",
        "header-based-testing-filter",
        "kv-cache-utilization-scorer",
        "label-selector-filter",
        "lora-affinity-scorer",
        "max-score-picker",
        "prefix-cache-scorer",
        "queue-scorer",
        "random-picker",
        "running-requests-size-scorer",
        "utilization-detector",
        "weighted-random-picker",
    }


def test_what_is_found_are_plugins() -> None:
    assert all(issubclass(cls, Plugin) for cls in discover().values())
