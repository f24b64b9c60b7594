from __future__ import annotations

import pytest

from tests.unit.config.documents import problems, read

TIERS = """
plugins:
- {type: approx-prefix-cache-producer, name: gpu}
- {type: approx-prefix-cache-producer, name: cpu,
   parameters: {autoTune: false, lruCapacityPerServer: 41000}}
- {type: prefix-cache-scorer, name: by-gpu, parameters: {prefixMatchInfoProducerName: gpu}}
- {type: prefix-cache-scorer, name: by-cpu, parameters: {prefixMatchInfoProducerName: cpu}}
- {type: prefix-cache-scorer, name: by-default}
schedulingProfiles:
- name: p
  plugins: [%s]
"""
BY_GPU, BY_CPU, BY_DEFAULT = (f"{{pluginRef: by-{name}}}" for name in ("gpu", "cpu", "default"))
ONE = (
    "plugins:\n- {type: approx-prefix-cache-producer, name: mine, parameters: {autoTune: false}}\n"
)


def about_plugins(body: str) -> list[str]:
    return [line for line in read(body).differences if line.startswith("plugins")]


@pytest.mark.parametrize(("deciding", "auto_tune"), [(BY_GPU, True), (BY_CPU, False)])
def test_the_producer_counts_that_a_deciding_plugin_names(deciding: str, auto_tune: bool) -> None:
    assert read(TIERS % deciding).prefix_cache.auto_tune is auto_tune


def test_that_two_are_read_is_told_with_both_places() -> None:
    both = f"{BY_GPU}, {BY_CPU}"
    line = "plugins[1]: there is one index, with the parameters of plugins[0]; who names 'cpu'"
    assert any(found.startswith(line) for found in about_plugins(TIERS % both))
    same = TIERS.replace("autoTune: false, lruCapacityPerServer: 41000", "autoTune: true")
    assert not any("there is one index" in found for found in about_plugins(same % both))


def test_who_names_none_reads_the_one_there_is() -> None:
    body = ONE + "- {type: prefix-cache-scorer}"
    assert not read(body).prefix_cache.auto_tune
    [line] = about_plugins(body)
    assert line.startswith("plugins[0]: also for plugins that name no producer; the Go picker")
    assert about_plugins(ONE + "- {type: marginal-cost-scorer}") == []  # not in the Go picker
    usual = ONE.replace(", name: mine", "") + "- {type: prefix-cache-scorer}"
    assert about_plugins(usual) == []


def test_one_that_nobody_names_is_told() -> None:
    body = ONE + (
        "- {type: approx-prefix-cache-producer}\n- {type: prefix-cache-scorer}\n"
        "- {type: no-hit-lru-scorer}\n"
    )
    assert read(body).prefix_cache.auto_tune
    assert about_plugins(body) == ["plugins[0]: without effect, nobody names 'mine'"]


@pytest.mark.parametrize(
    ("entry", "parameter"),
    [
        ("{type: prefix-cache-scorer, parameters: {%s: %s}}", "prefixMatchInfoProducerName"),
        ("{type: active-request-scorer, parameters: {%s: %s}}", "inFlightLoadProducerName"),
        ("{type: concurrency-detector, parameters: {%s: %s}}", "inFlightLoadProducerName"),
        ("{type: inflight-load-producer, parameters: {%s: %s}}", "prefixMatchInfoProducerName"),
    ],
)
def test_a_producer_that_is_named_must_be_there(entry: str, parameter: str) -> None:
    where = f"plugins[1].parameters.{parameter}"
    body = "plugins:\n- {type: queue-scorer, name: q}\n- "
    assert problems(body + entry % (parameter, "nowhere")) == (
        f"{where}: references undefined plugin 'nowhere'"
    )
    wanted = parameter.removesuffix("ProducerName")
    kind = {"prefixMatchInfo": "approx-prefix-cache-producer"}.get(wanted, "inflight-load-producer")
    assert problems(body + entry % (parameter, "q")) == f"{where}: 'q' is no {kind}"
    read(body + entry % (parameter, kind))  # made by default


def test_agents_are_known_by_the_headers_of_every_plugin_that_names_some() -> None:
    headers = read(
        """
plugins:
- {type: agent-identity, parameters: {additionalSessionHeaders: [X-Team]}}
- {type: agent-identity, name: more, parameters: {additionalSessionHeaders: [X-Bot, x-team]}}
"""
    ).flow_headers
    assert (headers[0], headers[-1]) == ("x-team", "x-bot")
    assert len(set(headers)) == len(headers)
