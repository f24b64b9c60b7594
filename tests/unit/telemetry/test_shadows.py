from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest

from epp.core.shadows import ShadowCounts
from epp.telemetry.shadows import ShadowCollector


def page(**counts: ShadowCounts) -> str:
    registry = CollectorRegistry()
    registry.register(ShadowCollector(lambda: counts))
    return generate_latest(registry).decode()


def test_every_number_is_on_the_page() -> None:
    text = page(s=ShadowCounts(1, 2, 3, 4, 5, 6, 0.5, 0.25, 0.125), t=ShadowCounts())
    for line in (
        'shadow_decisions_total{profile="s",result="agreed"} 1.0',
        'shadow_decisions_total{profile="s",result="differed"} 2.0',
        'shadow_decisions_total{profile="s",result="not_placed"} 3.0',
        'shadow_decisions_total{profile="s",result="skipped"} 4.0',
        'shadow_decisions_total{profile="s",result="failed"} 5.0',
        'shadow_predicted_total{profile="s"} 6.0',
        'shadow_predicted_cost_seconds_total{profile="s",result="saved"} 0.5',
        'shadow_predicted_cost_seconds_total{profile="s",result="lost"} 0.25',
        'shadow_overhead_seconds_total{profile="s"} 0.125',
        'shadow_decisions_total{profile="t",result="agreed"} 0.0',
    ):
        assert f"\nllm_d_epp_{line}\n" in text


def test_without_shadows_there_is_nothing() -> None:
    assert page() == ""
