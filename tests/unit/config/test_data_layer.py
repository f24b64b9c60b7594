from __future__ import annotations

import pytest

from epp.config.settings import Configuration
from tests.unit.config.documents import problems, read

# Two places of metrics and two meanings, under names of their own.
TWO = """
plugins:
- {type: metrics-data-source, name: one, parameters: {path: /one, port: 1}}
- {type: metrics-data-source, name: two, parameters: {path: /two, port: 2}}
- {type: core-metrics-extractor, name: sglang, parameters: {defaultEngine: sglang}}
- {type: core-metrics-extractor, name: triton, parameters: {defaultEngine: triton}}
dataLayer:
"""


def about(configuration: Configuration, *beginnings: str) -> list[str]:
    return [line for line in configuration.differences if line.startswith(beginnings)]


def test_the_source_and_the_extractor_that_are_named_count() -> None:
    configuration = read(
        TWO + "  injectDefaults: false\n"
        "  sources: [{pluginRef: two, extractors: [{pluginRef: triton}]}]"
    )
    scraping = configuration.scraping
    assert (scraping.path, scraping.port, scraping.engines.of({}).name) == ("/two", 2, "triton")
    assert about(configuration, "plugins", "dataLayer") == [
        "plugins[0]: without effect, no source of dataLayer names 'one'",
        "plugins[2]: without effect, no source of dataLayer names 'sglang'",
    ]


def test_where_no_source_is_named_those_of_the_name_of_their_type_count() -> None:
    named = TWO.replace("name: two", "name: metrics-data-source")
    named = named.replace("name: triton", "name: core-metrics-extractor")
    assert read(named).scraping.path == "/two"
    assert read(named).scraping.engines.of({}).name == "triton"
    configuration = read(TWO)
    assert (configuration.scraping.path, configuration.scraping.port) == ("/metrics", None)
    assert len(about(configuration, "plugins")) == 4


def test_two_places_of_metrics_are_one_too_many() -> None:
    text = TWO + "  sources: [{pluginRef: one}, {pluginRef: two}]"
    assert problems(text) == (
        "dataLayer.sources[1].pluginRef: a second metrics-data-source beside that of "
        "dataLayer.sources[0].pluginRef; in this version there is one"
    )
    same = text.replace("/two, port: 2", "/one, port: 1, interval: 5s")
    assert read(same).scraping.port == 1


def test_two_meanings_are_one_too_many() -> None:
    text = TWO + (
        "  sources: [{pluginRef: one, extractors: [{pluginRef: sglang}]},"
        " {pluginRef: one, extractors: [{pluginRef: triton}]}]"
    )
    assert "dataLayer.sources[1].extractors[0].pluginRef: a second core-metrics-extr" in problems(
        text
    )


def test_a_source_has_one_extractor_of_a_type() -> None:
    text = TWO + (
        "  sources: [{pluginRef: one, extractors: [{pluginRef: sglang}, {pluginRef: triton}]}]"
    )
    assert (
        "dataLayer.sources[0].extractors[1].pluginRef: the source has a core-metrics-extractor"
        in problems(text)
    )


def test_a_data_layer_without_sources_is_refused() -> None:
    assert problems("dataLayer: {injectDefaults: false}") == (
        "dataLayer: without sources and with injectDefaults false nothing would be read"
    )


@pytest.mark.parametrize(
    ("layer", "line"),
    [
        (
            "{sources: [{pluginRef: one, extractors: [{pluginRef: sglang}]}]}",
            "dataLayer.sources[0]: the only place where metrics are read; unless",
        ),
        (
            "{sources: [{pluginRef: one}], injectDefaults: false}",
            "dataLayer.sources[0].extractors: names no core-metrics-extractor",
        ),
        (
            "{sources: [{pluginRef: models}], injectDefaults: false}",
            "dataLayer.injectDefaults: false, and loads are read all the same",
        ),
        ("{peerDiscovery: {pluginRef: x}}", "dataLayer.peerDiscovery: without effect"),
        (
            "{crossReplicaSyncInterval: 200ms}",
            "dataLayer.crossReplicaSyncInterval: without effect",
        ),
    ],
)
def test_what_is_otherwise_than_in_the_go_picker_is_told(layer: str, line: str) -> None:
    models = "\n- {type: models-data-source, name: models}\ndataLayer: "
    [found] = about(read(TWO.rstrip().removesuffix("\ndataLayer:") + models + layer), "dataLayer")
    assert found.startswith(line)


def test_nothing_tells_other_replicas() -> None:
    assert problems("dataLayer: {crossReplicaSyncerPluginRef: x}") == (
        "dataLayer.crossReplicaSyncerPluginRef: there is no plugin that tells other replicas "
        "anything"
    )
    assert problems("dataLayer: {crossReplicaSyncInterval: soon}").startswith(
        "dataLayer.crossReplicaSyncInterval: 'soon' is not a duration"
    )


def test_a_usual_data_layer_differs_in_nothing() -> None:
    configuration = read(
        """
plugins: [{type: metrics-data-source}, {type: core-metrics-extractor}]
dataLayer:
  sources: [{pluginRef: metrics-data-source, extractors: [{pluginRef: core-metrics-extractor}]}]
"""
    )
    assert about(configuration, "plugins", "dataLayer") == []
