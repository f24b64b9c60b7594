from __future__ import annotations

import pytest

from epp.config.build import read_configuration
from epp.config.errors import ConfigError
from epp.scheduling.plugins.endpoint_attribute_scorer import EndpointAttributeScorer
from epp.scheduling.plugins.session_affinity_filter import SessionAffinityFilter
from epp.scheduling.sessions import SessionSource
from tests.unit.config.documents import HEAD

BY_ATTRIBUTE = """
- {type: session-affinity-filter, parameters: {strategy: session_id,
   sessionIdConfig: {sources: [{attribute: SessionIDDataKey, producer: %s}]}}}
"""
FILTER = """
- {type: endpoint-attribute-filter, parameters: {attribute: %s,
   algorithm: {type: threshold, threshold: {operator: LessThan, value: 80}}}}
"""
SCORER = """
- {type: endpoint-attribute-scorer, parameters: {attributeKey: %s,
   algorithm: {type: linear_lower_is_better, normalization: {fixedRange: {min: 0, max: 100}}}}}
"""
EXTRACTOR = """
- type: core-metrics-extractor
  parameters:
    defaultEngine: mine
    engineConfigs:
    - {name: mine, queuedRequestsSpec: waiting,
       customMetrics: [{attributeKey: heat, metricSpec: 'gpu_heat{gpu="0"}'}]}
"""


def test_a_session_is_read_where_the_named_producer_says() -> None:
    text = "plugins:\n- {type: session-id-producer, name: chat, parameters: {headerName: X-Chat}}"
    profile = read_configuration(HEAD + text + BY_ATTRIBUTE % "chat").profile
    plugin = profile.memories[0].plugin
    assert isinstance(plugin, SessionAffinityFilter)
    assert plugin.session_id_config.sources == (SessionSource(header="X-Chat"),)


def test_numbers_of_every_engine_and_custom_series_can_be_named() -> None:
    text = EXTRACTOR + FILTER % "heat" + SCORER % "WaitingQueueSize"
    configuration = read_configuration(HEAD + "plugins:" + text)
    [custom] = configuration.scraping.engines.of({}).custom
    assert custom[0] == "heat"
    assert (custom[1].family, custom[1].labels) == ("gpu_heat", (("gpu", "0"),))
    [weighted] = configuration.profile.scorers
    assert isinstance(weighted.scorer, EndpointAttributeScorer)


def test_whatever_is_missing_is_told_at_once() -> None:
    text = "plugins:" + FILTER % "heat" + SCORER % "GPUUtilization" + BY_ATTRIBUTE % "nobody"
    with pytest.raises(ConfigError) as caught:
        read_configuration(HEAD + text)
    attribute, key, source = caught.value.problems
    assert attribute.startswith("plugins[0].parameters.attribute: 'heat' is none of KVCacheUsage")
    assert key.startswith("plugins[1].parameters.attributeKey: 'GPUUtilization' is none of")
    assert source == (
        "plugins[2].parameters.sessionIdConfig.sources: no session-id-producer 'nobody'"
    )


def test_numbers_are_those_of_the_extractor_in_force() -> None:
    other = EXTRACTOR.replace("extractor\n", "extractor\n  name: other\n")
    with pytest.raises(ConfigError, match=r"attribute: 'heat' is none of"):
        read_configuration(HEAD + "plugins:" + other + FILTER % "heat")
    layer = "dataLayer: {sources: [{pluginRef: m, extractors: [{pluginRef: other}]}]}"
    source = "- {type: metrics-data-source, name: m}\n"
    read_configuration(HEAD + "plugins:" + other + FILTER % "heat" + source + layer)


def test_the_extractor_that_is_named_for_a_number_must_be_there() -> None:
    text = "plugins:" + (FILTER % "WaitingQueueSize").replace("Size,", "Size, producer: nobody,")
    with pytest.raises(ConfigError, match=r"plugins\[0\].parameters.producer: no core-metrics-ex"):
        read_configuration(HEAD + text)
