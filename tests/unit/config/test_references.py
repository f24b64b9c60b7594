from __future__ import annotations

import pytest

from tests.unit.config.documents import problems, read

LISTED = "plugins: [{type: queue-scorer, name: q}]\n"


@pytest.mark.parametrize(
    ("place", "body", "kind"),
    [
        (
            "requestHandler.parsers[1].pluginRef",
            "requestHandler: {parsers: [{pluginRef: openai-parser}, {pluginRef: %s}]}",
            "parser",
        ),
        ("parser.pluginRef", "parser: {pluginRef: %s}", "parser"),
        (
            "dataLayer.sources[0].pluginRef",
            "dataLayer: {sources: [{pluginRef: %s}]}",
            "data source",
        ),
        (
            "flowControl.usageLimitPolicyPluginRef",
            "flowControl: {usageLimitPolicyPluginRef: %s}",
            "usage limit policy",
        ),
        (
            "flowControl.defaultNegativePriorityBand.fairnessPolicyRef",
            "flowControl: {defaultNegativePriorityBand: {fairnessPolicyRef: %s}}",
            "fairness policy",
        ),
        (
            "flowControl.priorityBands[0].orderingPolicyRef",
            "flowControl: {priorityBands: [{orderingPolicyRef: %s}]}",
            "ordering policy",
        ),
    ],
)
def test_a_reference_is_to_a_plugin_of_its_kind(place: str, body: str, kind: str) -> None:
    assert problems(LISTED + body % "q") == f"{place}: 'q' is no {kind}"
    assert problems(LISTED + body % "nobody") == f"{place}: references undefined plugin 'nobody'"


def test_an_extractor_is_one() -> None:
    body = (
        "plugins: [{type: metrics-data-source}]\ndataLayer: {sources: "
        "[{pluginRef: metrics-data-source, extractors: [{pluginRef: metrics-data-source}]}]}"
    )
    where = "dataLayer.sources[0].extractors[0].pluginRef"
    assert problems(body) == f"{where}: 'metrics-data-source' is no extractor"


@pytest.mark.parametrize(
    "body",
    [
        "requestHandler: {parsers: [{pluginRef: vllmhttp-parser}]}",
        "flowControl: {usageLimitPolicyPluginRef: static-usage-limit-policy}",
        "flowControl: {defaultPriorityBand: {orderingPolicyRef: edf-ordering-policy}}",
    ],
)
def test_parsers_and_policies_need_not_be_listed(body: str) -> None:
    read(body)


def test_a_type_of_another_kind_is_named_as_such_though_it_is_not_listed() -> None:
    body = "requestHandler: {parsers: [{pluginRef: core-metrics-extractor}]}"
    assert problems(body).endswith("'core-metrics-extractor' is no parser")


def test_a_source_has_to_be_listed() -> None:
    where, body = (
        "dataLayer.sources[0]",
        "dataLayer: {sources: [{pluginRef: %s, extractors: [%s]}]}",
    )
    assert problems(body % ("metrics-data-source", "{pluginRef: core-metrics-extractor}")) == (
        f"{where}.pluginRef: references undefined plugin 'metrics-data-source'\n"
        f"{where}.extractors[0].pluginRef: references undefined plugin 'core-metrics-extractor'"
    )


def test_what_only_the_go_picker_has_is_told() -> None:
    assert problems("parser: {pluginRef: vllmgrpc-parser}") == (
        "parser.pluginRef: references undefined plugin 'vllmgrpc-parser', whose type is not in "
        "this version"
    )


@pytest.mark.parametrize(
    ("body", "types", "parses"),
    [
        ("", (), True),
        ("requestHandler: {parsers: [{pluginRef: openai-parser}]}", ("openai-parser",), True),
        (
            "requestHandler: {parsers: [{pluginRef: p}, {pluginRef: vllmhttp-parser}]}",
            ("passthrough-parser", "vllmhttp-parser"),
            True,
        ),
        ("requestHandler: {parsers: [{pluginRef: p}]}", ("passthrough-parser",), False),
        ("parser: {pluginRef: p}", ("passthrough-parser",), False),
        (
            "parser: {pluginRef: p}\nrequestHandler: {parsers: [{pluginRef: openai-parser}]}",
            ("openai-parser",),
            True,
        ),
    ],
)
def test_bodies_are_parsed_unless_only_passing_on_is_listed(
    body: str, types: tuple[str, ...], parses: bool
) -> None:
    configuration = read("plugins: [{type: passthrough-parser, name: p}]\n" + body)
    assert configuration.parsers == types
    assert configuration.parses_bodies is parses
