from __future__ import annotations

from dataclasses import replace

import pytest

from epp.config.build import read_configuration
from epp.config.errors import ConfigError
from epp.config.settings import Configuration
from epp.scheduling.plugins.label_selector_filter import LabelSelectorFilter
from tests.unit.config.documents import HEAD

PLUGIN = "plugins:\n- type: "
PROFILE = "plugins: [{type: queue-scorer}]\nschedulingProfiles:\n- name: p\n  plugins:"


def read(body: str) -> Configuration:
    """Without what it was made of, which has the nulls."""
    return replace(read_configuration(HEAD + body), document={})


def problems(body: str) -> str:
    with pytest.raises(ConfigError) as caught:
        read(body)
    return str(caught.value)


@pytest.mark.parametrize(
    "section",
    [
        *("plugins", "schedulingProfiles", "featureGates", "dataLayer", "flowControl"),
        *("requestHandler", "saturationDetector", "parser", "routing", "shadowProfiles"),
        "liveProfile",
    ],
)
def test_a_section_with_nothing_below_is_not_there(section: str) -> None:
    assert read(f"{section}:\n") == read("")


@pytest.mark.parametrize(
    ("with_null", "without"),
    [
        (f"{PROFILE}\n", f"{PROFILE} []"),
        ("flowControl: {priorityBands: , enableEviction: }", "flowControl: {}"),
        ("dataLayer: {sources: , discovery: , injectDefaults: }", ""),
        (f"{PLUGIN}queue-scorer\n  name:\n  parameters:", f"{PLUGIN}queue-scorer"),
        (
            f"{PLUGIN}core-metrics-extractor\n  parameters: {{engineConfigs: }}",
            f"{PLUGIN}core-metrics-extractor",
        ),
        (
            f"{PLUGIN}label-selector-filter\n  parameters:\n    matchLabels:\n"
            "    matchExpressions: [{key: a, operator: Exists, values: }]",
            f"{PLUGIN}label-selector-filter\n  parameters:\n"
            "    matchExpressions: [{key: a, operator: Exists}]",
        ),
    ],
)
def test_null_is_unset_at_every_depth(with_null: str, without: str) -> None:
    assert read(with_null) == read(without)


def test_what_must_be_given_cannot_be_null() -> None:
    assert problems("plugins: [{type: }]") == "plugins[0].type: is missing"


def test_an_unknown_field_is_one_also_if_it_is_null() -> None:
    assert problems("plugins: [{type: queue-scorer, parameter: }]") == (
        "plugins[0].parameter: unknown field"
    )


def test_a_label_that_is_null_is_not_left_out() -> None:
    body = f"{PLUGIN}label-selector-filter\n  parameters: {{matchLabels: %s}}"
    assert problems(body % "{a: }") == "plugins[0].parameters.matchLabels.a: is not text"
    assert read(body % "{a: ''}").profile.filters == (LabelSelectorFilter({"a": ""}),)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (f"{PROFILE} [{{pluginRef: queue-scorer, weight: true}}]", "plugins[0].weight"),
        ("flowControl: {maxBytes: true}", "flowControl.maxBytes"),
        ("flowControl: {priorityBands: [{priority: false}]}", "priorityBands[0].priority"),
        (f"{PLUGIN}load-aware-scorer\n  parameters: {{threshold: true}}", "parameters.threshold"),
        (f"{PLUGIN}metrics-data-source\n  parameters: {{port: true}}", "parameters.port"),
    ],
)
def test_true_is_no_number(body: str, text: str) -> None:
    assert f"{text}: is not " in problems(body)
    assert "a number" in problems(body)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("1: 3", "document: the key 1 is not text"),
        (f"{PLUGIN}queue-scorer\n  1: 3", "plugins[0]: the key 1 is not text"),
        (f"{PLUGIN}queue-scorer\n  on: 3", "plugins[0]: the key true is not text"),
        (
            f"{PLUGIN}label-selector-filter\n  parameters: {{matchLabels: {{8: a}}}}",
            "plugins[0].parameters.matchLabels: the key 8 is not text",
        ),
        (
            f"{PLUGIN}load-aware-scorer\n  parameters: {{null: a}}",
            "plugins[0].parameters: the key null is not text",
        ),
    ],
)
def test_a_key_that_is_no_text_is_named(body: str, text: str) -> None:
    assert problems(body) == text
