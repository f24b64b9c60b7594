from __future__ import annotations

import pytest

from epp.config.build import read_configuration
from epp.config.errors import ConfigError
from tests.unit.config.documents import HEAD


def entry(kind: str, parameters: str) -> str:
    return f"{HEAD}plugins: [{{type: {kind}, parameters: {parameters}}}]"


@pytest.mark.parametrize(
    "parameters",
    [
        "{modelName: m}",
        "{modelName: m, vllm: {url: 'http://render:8000', timeout: 2s, mmTimeout: 1m}}",
        "{modelName: m, udsTokenizerConfig: {socketFile: /run/t.sock}}",
        "{estimate: {image: {mode: static, static: {staticToken: 300}}, video: {}}}",
        "{estimate: }",
    ],
)
def test_a_token_producer_is_taken_and_its_estimate_told(parameters: str) -> None:
    lines = read_configuration(entry("token-producer", parameters)).differences
    assert "plugins[0]: token counts are estimated at 4 bytes a token" in lines


@pytest.mark.parametrize(
    ("kind", "parameters", "text"),
    [
        ("token-producer", "{modelNam: m}", ".modelNam: unknown field"),
        ("token-producer", "{vllm: {}}", ".modelName: is needed for vllm"),
        (
            "token-producer",
            "{modelName: m, vllm: {}, estimate: {}}",
            ": only one of vllm, udsTokenizerConfig, estimate may be given",
        ),
        (
            "token-producer",
            "{modelName: m, vllm: {timeout: soon}}",
            ".vllm.timeout: 'soon' is not a duration such as 200ms, 1.5s or 1h30m",
        ),
        (
            "metrics-data-source",
            "{interval: bogus}",
            ".interval: 'bogus' is not a duration such as 200ms, 1.5s or 1h30m",
        ),
        (
            "models-data-source",
            "{interval: bogus}",
            ".interval: 'bogus' is not a duration such as 200ms, 1.5s or 1h30m",
        ),
        (
            "core-metrics-extractor",
            "{engineConfigs: [{name: e, loraSpec: 'a{b='}]}",
            ".engineConfigs[0].loraSpec: 'a{b=' is not a series: name or name{label=value,...}",
        ),
        (
            "core-metrics-extractor",
            "{engineConfigs: [{name: e, kvUsageSpec: a, customMetrics: "
            "[{attributeKey: k, metricSpec: ''}]}]}",
            ".engineConfigs[0].customMetrics[0].metricSpec: is empty",
        ),
    ],
)
def test_a_wrong_parameter_is_named(kind: str, parameters: str, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_configuration(entry(kind, parameters))
    assert caught.value.problems == (f"plugins[0].parameters{text}",)
