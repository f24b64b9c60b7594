"""The documentation names the metrics that the page has, with their labels, and no others."""

from __future__ import annotations

import re
from pathlib import Path

from epp.core.decision import Endpoints, Lease
from epp.core.estimate import PoolEstimate
from epp.core.fullness import Fullness
from epp.core.shadows import ShadowCounts
from epp.telemetry.flows import FlowCollector, FlowSources
from epp.telemetry.instruments import Family
from epp.telemetry.learned import LearnedCollector, LearnedSources
from epp.telemetry.legacy import TWINS
from epp.telemetry.metrics import FLOWS, MODELS, PREFIX, Metrics
from epp.telemetry.pool import PoolCollector, PoolSources
from epp.telemetry.shadows import ShadowCollector
from tests.helpers.build import a_request, an_endpoint

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "operations.md"
OTHERS = (
    *(ROOT / "docs").glob("*.md"),
    *(path for path in (ROOT / "charts").rglob("*") if path.suffix in {".yaml", ".tpl", ".md"}),
    *(ROOT / "manifests").rglob("*.yaml"),
)
NAME = re.compile(rf"\b{PREFIX}\w*[a-z]\b")
OLDER_NAME = re.compile(
    r"\b(?:inference_(?:objective|pool|extension)|llm_d_inference_scheduler)_\w+"
)

OF_HISTOGRAMS = re.compile("_(bucket|count|sum)$")


def families() -> dict[str, set[str]]:
    """What the page has when there is something to show of everything, with its labels."""
    metrics = Metrics(pool_name="p")
    metrics.count_streams()
    metrics.count_spans()
    registry = metrics.registry
    own = [each for each in registry._collector_to_names if isinstance(each, Family)]
    pool = [endpoint] = [an_endpoint()]
    endpoint.load.places = 1
    estimate = PoolEstimate(
        0.1, 0.1, 1.0, 0.0, decode_samples=1.0, decode_learned_at=0.0, output_tokens=1.0
    )
    request = a_request()
    holds = Endpoints((endpoint,), (Lease(endpoint, 1, 1),))
    registry.register(
        PoolCollector(
            PoolSources(
                pool_name="p",
                endpoints=lambda: pool,
                saturations=lambda _: {"effective": 0.0},
                fullness=lambda: Fullness({0: (0.0, 0.0)}, 0.0, 0.0),
                prefix_blocks=lambda: 0,
                now=lambda: 0.0,
            )
        )
    )
    registry.register(
        FlowCollector(
            metrics,
            FlowSources(lambda: [request], lambda: [(request, holds)], lambda: pool, lambda: 0.0),
        )
    )
    registry.register(
        LearnedCollector(
            LearnedSources(
                pool_name="p",
                endpoints=lambda: pool,
                estimate=lambda _: estimate,
                token_ratios=lambda: {"m": 1.0},
                prefix_tokens=lambda _: 0,
                now=lambda: 0.0,
            )
        )
    )
    registry.register(ShadowCollector(lambda: {"s": ShadowCounts()}))
    found = {family.name: set(family._labels) for family in own}
    counters = {family.name for family in own if family.kind == "counter"}
    for metric in registry.collect():
        if metric.type == "counter":
            counters.add(metric.name)
        if metric.samples and metric.name not in found:
            found[metric.name] = set(metric.samples[0].labels)
    return {f"{name}_total" if name in counters else name: found[name] for name in found}


def the_section() -> str:
    return PAGE.read_text().partition("\n## Metrics\n")[2].partition("\n## ")[0]


def rows() -> list[tuple[str, set[str], str]]:
    """Name, labels and older name of those that the Go picker has."""
    table = the_section().partition("### Beyond those")[0]
    written = re.findall(rf"^\| `({PREFIX}\w+)` \| (.*?) ?\| (?:`(\w+)` )?\|$", table, re.MULTILINE)
    groups = {"F": FLOWS, "M": MODELS}
    return [
        (
            name,
            {
                *re.findall(r"`([a-z_]+)`", labels),
                *[
                    each
                    for group in groups
                    if group in labels.split(", ")
                    for each in groups[group]
                ],
            },
            older,
        )
        for name, labels, older in written
    ]


def in_full(text: str) -> list[set[str]]:
    """The names that each mention may mean: a short one leaves out what an earlier one begins with.

    After `llm_d_epp_endpoint_prefill_ratio`, `…_decode_ratio` is that of an endpoint.
    """
    mentions: list[set[str]] = []
    last = ""
    for full, short in re.findall(rf"({NAME.pattern})|`…(_[a-z]\w+)", text):
        if full:
            last = full
            mentions.append({full, OF_HISTOGRAMS.sub("", full)})
        else:
            ends = [match.start() for match in re.finditer("_", last)]
            mentions.append({last[:end] + short for end in ends})
    return mentions


def test_names_labels_and_older_names_in_the_table_are_those_of_the_page() -> None:
    on_page = families()
    for name, labels, older in rows():
        assert on_page.get(name) == labels, name
        bare = name.removeprefix(PREFIX).removesuffix("_total")
        twin = TWINS.get(bare)
        suffix = "_total" if name.endswith("_total") else ""
        assert older == ("" if twin is None else twin.name + suffix), name
    twins = {PREFIX + name for name in TWINS}
    assert twins <= {name.removesuffix("_total") for name, _, _ in rows()}


def test_every_metric_of_the_page_is_documented() -> None:
    documented = set[str]().union(*in_full(the_section()))
    assert set(families()) - documented == set()


def test_no_metric_is_named_that_is_not_there() -> None:
    on_page, older = set(families()), {twin.name for twin in TWINS.values()}
    section, _, missing = the_section().partition("### What is not there")
    for mention in in_full(section):
        assert mention & on_page, mention
    for path in OTHERS:
        text = path.read_text().replace(missing, "")
        for name in NAME.findall(text):
            assert {name, OF_HISTOGRAMS.sub("", name)} & on_page, (path.name, name)
        for name in OLDER_NAME.findall(text):
            assert OF_HISTOGRAMS.sub("", name.removesuffix("_total")) in older, (path.name, name)


def test_what_is_said_to_be_missing_is() -> None:
    missing = the_section().partition("### What is not there")[2]
    named = " ".join(re.findall(r"^\| (`.*?) \|", missing, re.MULTILINE))
    said = re.findall(r"`(\w+)(…?)`", named)
    assert len(said) > 10
    on_page = {name.removeprefix(PREFIX) for name in families()}
    for name, more in said:
        assert not any(have.startswith(name) if more else have == name for have in on_page), name
