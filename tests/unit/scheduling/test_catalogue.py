from __future__ import annotations

import sys
from pathlib import Path

import pytest

from epp.scheduling.catalogue import BadOffer, DuplicateType, discover
from epp.scheduling.interfaces import Plugin, Scorer

SCORER = """
from dataclasses import dataclass
from typing import ClassVar
from epp.scheduling.interfaces import Scorer

@dataclass(frozen=True, slots=True)
class Mine(Scorer):
    type_name: ClassVar[str] = "{type_name}"

    def score(self, request, endpoints):
        return [1.0] * len(endpoints)

nothing = 1

class Unnamed(Scorer):
    def score(self, request, endpoints):
        return [1.0] * len(endpoints)
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    monkeypatch.syspath_prepend(tmp_path)
    return Install(tmp_path, monkeypatch)


class Install:
    """Puts a package with an entry point on the path."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.monkeypatch = folder, monkeypatch

    def __call__(self, offer: str, source: str) -> None:
        module = offer.partition(":")[0]
        (self.folder / f"{module}.py").write_text(source)
        info = self.folder / "elsewhere-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: elsewhere\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[epp.scheduling]\nmine = {offer}\n")
        self.monkeypatch.delitem(sys.modules, module, raising=False)


def test_every_plugin_is_found_by_its_type() -> None:
    assert set(discover()) == {
        "active-blocks-scorer",
        "active-request-scorer",
        "always-disagg-multimodal-decider",
        "always-disagg-pd-decider",
        "concurrency-detector",
        "data-parallel-profile-handler",
        "decode-filter",
        "disagg-profile-handler",
        "encode-filter",
        "header-based-testing-filter",
        "header-profile-handler",
        "capacity-detector",
        "by-label",
        "by-label-selector",
        "context-length-aware",
        "endpoint-attribute-filter",
        "endpoint-attribute-scorer",
        "header-label-affinity-scorer",
        "kv-cache-utilization-scorer",
        "label-selector-filter",
        "lmetric-scorer",
        "load-aware-scorer",
        "lora-affinity-scorer",
        "marginal-cost-scorer",
        "max-score-picker",
        "pd-profile-handler",
        "prefill-filter",
        "prefix-based-pd-decider",
        "no-hit-lru-scorer",
        "power-of-two-picker",
        "prefix-cache-affinity-filter",
        "prefix-cache-scorer",
        "probabilistic-admitter",
        "queue-scorer",
        "random-picker",
        "round-robin-picker",
        "running-requests-size-scorer",
        "single-profile-handler",
        "session-affinity-filter",
        "session-affinity-scorer",
        "token-load-scorer",
        "uncached-multimodal-decider",
        "utilization-detector",
        "utilization-filter",
        "weighted-random-picker",
    }


def test_what_is_found_are_plugins() -> None:
    assert all(issubclass(cls, Plugin) for cls in discover().values())


def test_another_package_can_offer_a_class(install: Install) -> None:
    install("elsewhere_class:Mine", SCORER.format(type_name="my-scorer"))
    assert issubclass(discover()["my-scorer"], Scorer)


def test_another_package_can_offer_a_module(install: Install) -> None:
    source = SCORER.format(type_name="my-scorer").partition("nothing")[0]
    install("elsewhere_module", source)
    assert issubclass(discover()["my-scorer"], Scorer)


def test_a_type_is_of_one_class(install: Install) -> None:
    install("elsewhere_twin:Mine", SCORER.format(type_name="queue-scorer"))
    with pytest.raises(DuplicateType, match=r"'queue-scorer' is both .*QueueScorer.*Mine"):
        discover()


@pytest.mark.parametrize(
    "offer",
    [
        pytest.param("elsewhere_a:nothing", id="no-class"),
        pytest.param("elsewhere_b:Unnamed", id="no-type-name"),
        pytest.param("elsewhere_c:Scorer", id="abstract"),
        pytest.param("elsewhere_d:Missing", id="not-there"),
        pytest.param("elsewhere_e", id="a-module-with-an-unnamed-one"),
    ],
)
def test_an_offer_that_is_no_plugin_is_named(install: Install, offer: str) -> None:
    install(offer, SCORER.format(type_name="my-scorer"))
    with pytest.raises(BadOffer, match=f"entry point mine = {offer} of epp.scheduling: "):
        discover()
