from __future__ import annotations

import random

import pytest

from epp.config.build import DEFAULT_DOCUMENT, read_configuration
from epp.config.errors import ConfigError
from epp.flowcontrol.settings import BandSettings, Fairness, Ordering
from epp.prefixcache.settings import PrefixCacheSettings
from epp.routing.settings import ModelObjective
from epp.scheduling.plugins.capacity_detector import CapacityDetector
from epp.scheduling.plugins.concurrency_detector import ConcurrencyDetector
from epp.scheduling.plugins.context_length_aware import ContextLengthAware
from epp.scheduling.plugins.prefix_cache_affinity_filter import PrefixCacheAffinityFilter
from epp.scheduling.plugins.probabilistic_admitter import ProbabilisticAdmitter
from epp.scheduling.plugins.random_picker import RandomPicker
from epp.scheduling.plugins.session_affinity_scorer import SessionAffinityScorer
from epp.scheduling.profile import WeightedScorer
from epp.scheduling.sessions import SessionIds, SessionSource
from tests.helpers.build import a_request, an_endpoint
from tests.unit.config.documents import HEAD, read


def problems(body: str, head: str = HEAD) -> str:
    with pytest.raises(ConfigError) as caught:
        read_configuration(head + body)
    return str(caught.value)


def test_the_default_needs_no_weights() -> None:
    configuration = read_configuration()
    assert [w.name for w in configuration.profile.scorers] == ["marginal-cost-scorer"]
    assert isinstance(configuration.detector, CapacityDetector)
    assert configuration.discovery is None
    assert read_configuration(DEFAULT_DOCUMENT).profile == configuration.profile


def test_the_default_is_told_to_be_another_than_that_of_the_go_picker() -> None:
    first, *others = read_configuration().differences
    assert first.startswith("no document: marginal-cost-scorer decides alone; in the Go picker")
    assert tuple(others) == read_configuration(DEFAULT_DOCUMENT).differences


@pytest.mark.parametrize("kind", ["queue-scorer", "decode-filter", "openai-parser"])
def test_a_parameter_of_a_type_without_any_is_told_and_passed_over(kind: str) -> None:
    body = f"plugins: [{{type: {kind}, parameters: %s}}]"
    line = f"plugins[0].parameters: without effect, {kind} has none"
    assert line in read(body % "{x: 1}").differences
    assert line not in read(body % "{}").differences


def test_json_is_a_document_too() -> None:
    text = '{"apiVersion": "llm-d.ai/v1alpha1", "kind": "EndpointPickerConfig"}'
    assert read_configuration(text).profile.scorers == ()


def test_the_deprecated_api_version_is_taken_and_told() -> None:
    head = "apiVersion: inference.networking.x-k8s.io/v1alpha1\nkind: EndpointPickerConfig\n"
    assert any("deprecated" in line for line in read_configuration(head).differences)


def test_the_parameters_of_the_prefix_index_are_in_force() -> None:
    entry = "plugins: [{type: approx-prefix-cache-producer, parameters: {%s}}]"
    settings = read(entry % "autoTune: false, lruCapacityPerServer: 20").prefix_cache
    assert (settings.auto_tune, settings.lru_capacity_per_server) == (False, 20)
    assert "plugins[0].parameters.lruCapacity: unknown field" in problems(entry % "lruCapacity: 1")


def test_parameters_are_in_camel_case_and_names_may_differ_from_types() -> None:
    configuration = read(
        """
plugins:
- {type: active-request-scorer, name: mine, parameters: {maxBusyScore: 0.5, idleThreshold: 2}}
- {type: random-picker, parameters: {maxNumOfEndpoints: 3}}
schedulingProfiles:
- name: p
  plugins: [{pluginRef: mine, weight: 4}, {pluginRef: random-picker}]
"""
    )
    [scorer] = configuration.profile.scorers
    assert (scorer.name, scorer.weight) == ("mine", 4)
    assert configuration.profile.picker == RandomPicker(3)


def test_the_prefix_cache_has_its_parameters() -> None:
    configuration = read(
        "plugins: [{type: approx-prefix-cache-producer, "
        "parameters: {blockSizeTokens: 256, autoTune: false, lruCapacityPerServer: 9}}]"
    )
    assert configuration.prefix_cache == PrefixCacheSettings(
        auto_tune=False, block_size_tokens=256, lru_capacity_per_server=9
    )
    text = "plugins: [{type: approx-prefix-cache-producer, parameters: {blockSizeToken: 9}}]"
    assert problems(text) == "plugins[0].parameters.blockSizeToken: unknown field"


def test_a_negative_weight_prefers_what_scores_low() -> None:
    profile = read(
        "plugins: [{type: queue-scorer}, {type: load-aware-scorer}]\nschedulingProfiles:\n"
        "- name: p\n  plugins:\n  - {pluginRef: queue-scorer, weight: -2}\n"
        "  - {pluginRef: load-aware-scorer, weight: 1}"
    ).profile
    pool = [an_endpoint("short", waiting=0), an_endpoint("long", waiting=9)]
    ranked = profile.rank(a_request(), pool, random.Random(1), 1)
    assert ranked.ordered[0].name == "long"
    assert ranked.totals == [pytest.approx(-2 + 0.5), pytest.approx(0.5 * (1 - 9 / 128))]


def test_without_a_profile_all_plugins_are_in_one() -> None:
    configuration = read(
        "plugins: [{type: queue-scorer}, {type: concurrency-detector}, {type: random-picker}]"
    )
    assert [w.name for w in configuration.profile.scorers] == ["queue-scorer"]
    assert configuration.profile.filters == ()  # a detector is no filter unless it is listed
    assert configuration.profile.picker == RandomPicker()


def test_a_preference_stands_among_the_filters_and_takes_its_place_after_them() -> None:
    profile = read(
        """
plugins:
- {type: prefix-cache-affinity-filter, parameters: {maxTTFTPenaltyMs: 5000}}
- {type: label-selector-filter, parameters: {matchLabels: {a: b}}}
"""
    ).profile
    assert profile.preferences == (PrefixCacheAffinityFilter(max_ttft_penalty_ms=5000),)
    assert len(profile.filters) == 1
    assert profile.reads_prefix


def test_one_that_filters_and_scores_takes_both_places() -> None:
    profile = read(
        """
plugins: [{type: context-length-aware, parameters: {enableFiltering: true}}]
schedulingProfiles: [{name: p, plugins: [{pluginRef: context-length-aware, weight: 3}]}]
"""
    ).profile
    plugin = ContextLengthAware(enable_filtering=True)
    assert profile.filters == (plugin,)
    assert profile.scorers == (WeightedScorer("context-length-aware", plugin, 3.0),)


def test_a_session_is_read_where_its_producer_says() -> None:
    profile = read(
        """
plugins:
- {type: session-id-producer, name: chat, parameters: {cookieName: sid}}
- type: session-affinity-scorer
  parameters:
    strategy: session_id
    sessionIdConfig:
      evictionTtlSeconds: 60
      sources:
      - {header: x-chat}
      - {attribute: SessionIDDataKey, producer: chat}
- type: utilization-filter
  parameters: {conditions: [{metric: active-requests, maxValue: 5}], fallbackOnEmpty: true}
- {type: by-label-selector, parameters: {matchLabels: {a: b}}}
- {type: models-data-source, parameters: {interval: 30s}}
- {type: models-data-extractor}
dataLayer:
  sources:
  - {pluginRef: models-data-source, extractors: [{pluginRef: models-data-extractor}]}
"""
    ).profile
    [memory] = profile.memories
    plugin = memory.plugin
    assert isinstance(plugin, SessionAffinityScorer)
    sources = (SessionSource(header="x-chat"), SessionSource(cookie="sid"))
    assert plugin.session_id_config == SessionIds(sources, eviction_ttl_seconds=60)
    assert len(profile.filters) == 2


def test_agents_name_their_flow_in_headers() -> None:
    configuration = read(
        "plugins: [{type: agent-identity, parameters: {additionalSessionHeaders: [X-Team]}}]"
    )
    assert configuration.flow_headers[:2] == ("x-team", "x-claude-code-session-id")
    assert read("plugins: []").flow_headers == ()


@pytest.mark.parametrize("kind", ["prefix-cache-affinity-filter", "session-affinity-filter"])
@pytest.mark.parametrize(
    ("gates", "differs"), [("[]", True), ("[flowControl]", True), ("[flowControl=false]", False)]
)
def test_where_requests_wait_a_full_endpoint_is_not_kept(
    kind: str, gates: str, differs: bool
) -> None:
    lines = read(f"featureGates: {gates}\nplugins: [{{type: {kind}}}]").differences
    assert any("has room" in line or "have room" in line for line in lines) is differs


def test_an_admitter_is_in_force_wherever_it_stands() -> None:
    configuration = read(
        "plugins: [{type: probabilistic-admitter, parameters: {k: 10}}, {type: queue-scorer}]"
    )
    assert configuration.admitters == {"probabilistic-admitter": ProbabilisticAdmitter(k=10)}
    assert any("429 with a reason" in line for line in configuration.differences)


def test_a_picker_that_remembers_is_found_without_being_named() -> None:
    configuration = read(
        "plugins: [{type: round-robin-picker, name: turns}]\nschedulingProfiles: [{name: p}]"
    )
    assert [memory.name for memory in configuration.profile.memories] == ["turns"]


@pytest.mark.parametrize(
    "place",
    ["flowControl: {saturationDetector: {pluginRef: d}}", "saturationDetector: {pluginRef: d}"],
)
def test_the_detector_is_the_one_that_is_named(place: str) -> None:
    configuration = read(
        "plugins: [{type: concurrency-detector, name: d, parameters: {maxConcurrency: 7}}]\n"
        + place
    )
    assert configuration.detector == ConcurrencyDetector(7)


def test_flow_control_limits_and_budgets() -> None:
    flow = read(
        """
featureGates: [flowControl]
flowControl:
  maxRequests: 1k
  maxBytes: 1Gi
  defaultRequestTTL: 5s
  defaultPriorityBand: {maxRequests: 10}
  priorityBands: [{priority: 3, maxRequests: 20, maxBytes: 0}]
"""
    ).flow_control
    assert flow is not None
    assert (flow.max_requests, flow.max_bytes) == (1000, 1 << 30)
    assert (flow.request_ttl_seconds, flow.no_endpoint_ttl_seconds) == (5.0, 5.0)
    assert flow.band(3).max_requests == 20
    assert flow.band(3).max_bytes == 1_000_000_000  # 0 is the default: a band is never unlimited
    assert (flow.band(0).max_requests, flow.band(-1).max_requests) == (10, 10)


def test_flow_control_policies_by_name_or_type() -> None:
    flow = read(
        """
plugins:
- {type: round-robin-fairness-policy, name: turns}
- {type: edf-ordering-policy}
flowControl:
  defaultPriorityBand: {fairnessPolicyRef: turns}
  priorityBands:
  - {priority: 3, orderingPolicyRef: slo-deadline-ordering-policy}
  - {priority: 4, orderingPolicyRef: edf-ordering-policy}
"""
    ).flow_control
    assert flow is not None
    assert flow.band(0).fairness is flow.band(-1).fairness is Fairness.ROUND_ROBIN
    assert flow.band(3) == BandSettings(ordering=Ordering.SLO_DEADLINE)
    assert flow.band(4).ordering is Ordering.EDF


@pytest.mark.parametrize(
    ("gates", "waits_for_endpoints", "sheddable_waits"),
    [("[]", False, False), ("[flowControl]", True, True), ("[flowControl=true]", True, True)],
)
def test_the_gate_makes_sheddable_requests_wait(
    gates: str, waits_for_endpoints: bool, sheddable_waits: bool
) -> None:
    flow = read(f"featureGates: {gates}").flow_control
    assert flow is not None
    assert (flow.waits_for_endpoints, flow.sheddable_waits) == (
        waits_for_endpoints,
        sheddable_waits,
    )


def test_flow_control_can_be_off() -> None:
    assert read("featureGates: [flowControl=false]").flow_control is None


def test_routing_in_config_form() -> None:
    configuration = read(
        """
routing:
  objectives: [{name: gold, priority: 10}]
  modelRewrites:
  - name: split
    rules:
    - matches: [{model: {value: chat}}]
      targets: [{modelRewrite: a, weight: 9}, {modelRewrite: b, weight: 1}]
  objectivesByModel: [{objective: gold, models: [chat]}, {objective: plain}]
  controlHeaders: gateway
"""
    )
    assert configuration.routing.objectives[0].priority == 10
    assert configuration.routing.objectives_by_model == (
        ModelObjective("gold", ("chat",)),
        ModelObjective("plain"),
    )
    [rewrite] = configuration.routing.model_rewrites
    assert rewrite.rules[0].models == ("chat",)
    assert [t.weight for t in rewrite.rules[0].targets] == [9, 1]
    assert not configuration.control_from_clients


def test_discovery_by_reference() -> None:
    configuration = read(
        """
plugins: [{type: file-discovery, name: f, parameters: {path: /etc/e.yaml, watchFile: true}}]
dataLayer: {discovery: {pluginRef: f}}
"""
    )
    assert configuration.discovery is not None
    assert str(configuration.discovery.path) == "/etc/e.yaml"
    assert configuration.discovery.watch_file


def test_the_default_parsers_of_the_field_may_be_named() -> None:
    configuration = read(
        "plugins: [{type: anthropic-parser}]\n"
        "requestHandler: {parsers: [{pluginRef: openai-parser}, {pluginRef: anthropic-parser},"
        " {pluginRef: vllmhttp-parser}, {pluginRef: passthrough-parser}]}"
    )
    assert not any("parser" in line for line in configuration.differences)


def test_where_and_how_metrics_are_read() -> None:
    scraping = read(
        """
plugins:
- {type: metrics-data-source, parameters: {scheme: http, path: /m, port: 9400, interval: 1s}}
- type: core-metrics-extractor
  parameters:
    defaultEngine: mine
    engineConfigs: [{name: mine, queuedRequestsSpec: 'waiting{kind="x"}'}]
dataLayer:
  sources:
  - {pluginRef: metrics-data-source, extractors: [{pluginRef: core-metrics-extractor}]}
"""
    ).scraping
    assert (scraping.path, scraping.port) == ("/m", 9400)
    waiting = scraping.engines.of({}).waiting
    assert waiting is not None
    assert (waiting.family, waiting.labels) == ("waiting", (("kind", "x"),))
    assert "sglang" in scraping.engines.engines


PROFILE = "schedulingProfiles: [{name: p, plugins: [%s]}]"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        pytest.param("plugin: []", "plugin: unknown field", id="unknown-field"),
        pytest.param("plugins: [{name: x}]", "plugins[0].type: is missing", id="no-type"),
        pytest.param(
            "plugins: [{type: no-such}]",
            "plugins[0].type: plugin type 'no-such' is not registered",
            id="unknown-type",
        ),
        pytest.param(
            "plugins: [{type: latency-scorer}]", "in this version", id="type-of-the-go-picker"
        ),
        pytest.param(
            "plugins: [{type: queue-scorer}, {type: queue-scorer}]",
            "plugins[1]: duplicate plugin name 'queue-scorer'",
            id="duplicate-name",
        ),
        pytest.param(
            "plugins: [{type: active-request-scorer, parameters: {maxBusyScor: 1}}]",
            "plugins[0].parameters.maxBusyScor: unknown field",
            id="misspelt-parameter",
        ),
        pytest.param(
            "plugins: [{type: concurrency-detector, parameters: {maxConcurrency: 0}}]",
            "maxConcurrency: 0 is not above zero",
            id="parameter-out-of-range",
        ),
        pytest.param(
            "plugins: [{type: prefix-cache-affinity-filter, parameters: "
            "{ttftSource: latencyPredictor}}]",
            "plugins[0].parameters.ttftSource: should be 'prefillThroughput'",
            id="predicted-latency",
        ),
        pytest.param(
            "plugins: [{type: inflight-load-producer, parameters: "
            "{addEstimatedOutputTokens: true}}]",
            "plugins[0].parameters.addEstimatedOutputTokens: tokens in flight are those of",
            id="estimated-output",
        ),
        pytest.param(
            "plugins: [{type: session-affinity-filter, parameters: {strategy: session_id, "
            "sessionIdConfig: {sources: [{attribute: SessionIDDataKey}]}}}]",
            "plugins[0].parameters.sessionIdConfig.sources: "
            "no session-id-producer 'session-id-producer'",
            id="no-session-producer",
        ),
        pytest.param(
            "plugins: [{type: session-id-producer}]",
            "plugins[0].parameters: exactly one of headerName and cookieName is needed",
            id="session-producer-without-source",
        ),
        pytest.param(
            "plugins: [{type: utilization-filter, parameters: "
            "{conditions: [{metric: waiting-queue, maxValue: -1}]}}]",
            "plugins[0].parameters.conditions[0].maxValue: -1.0",
            id="condition-out-of-range",
        ),
        pytest.param(
            "plugins: [{type: models-data-source, parameters: {path: /models}}]",
            "plugins[0].parameters.path",
            id="models-elsewhere",
        ),
        pytest.param(
            "plugins: [{type: metrics-data-source, parameters: {scheme: https}}]",
            "plugins[0].parameters.scheme",
            id="tls-to-servers",
        ),
        pytest.param(
            "plugins: [{type: core-metrics-extractor, parameters: {defaultEngine: x}}]",
            "unknown default engine 'x'",
            id="unknown-engine",
        ),
        pytest.param(
            "plugins: [{type: core-metrics-extractor, parameters: "
            "{engineConfigs: [{name: e, kvUsageSpec: 'a{'}]}}]",
            "plugins[0].parameters.engineConfigs[0]",
            id="wrong-series",
        ),
        *(
            pytest.param(
                "plugins: [{type: core-metrics-extractor, parameters: {engineConfigs: "
                f"[{{name: e, kvUsageSpec: a, customMetrics: {metrics}}}]}}}}]",
                text,
                id=text,
            )
            for metrics, text in (
                ("[{attributeKey: '', metricSpec: a}]", "attributeKey: is empty"),
                ("[{attributeKey: WaitingQueueSize, metricSpec: a}]", "is there already"),
                ("[{attributeKey: k, metricSpec: 'a{'}]", "is not a series"),
                (
                    "[{attributeKey: k, metricSpec: a}, {attributeKey: k, metricSpec: b}]",
                    "customMetrics: 'k' stands twice",
                ),
            )
        ),
        pytest.param(
            "plugins: [{type: probabilistic-admitter}]\n"
            + PROFILE % "{pluginRef: probabilistic-admitter}",
            "'probabilistic-admitter' is no filter, scorer or picker",
            id="admitter-in-a-profile",
        ),
        pytest.param(
            PROFILE % "{pluginRef: q}",
            "schedulingProfiles[0].plugins[0].pluginRef: references undefined plugin 'q'",
            id="undefined-reference",
        ),
        pytest.param(
            PROFILE % "{}", "schedulingProfiles[0].plugins[0].pluginRef: is missing", id="no-ref"
        ),
        pytest.param(
            "plugins: [{type: queue-scorer}]\n"
            + PROFILE % "{pluginRef: queue-scorer, weight: .inf}",
            "schedulingProfiles[0].plugins[0].weight: inf is not a finite number",
            id="endless-weight",
        ),
        pytest.param(
            "plugins: [{type: random-picker}, {type: max-score-picker}]\n"
            + PROFILE % "{pluginRef: random-picker}, {pluginRef: max-score-picker}",
            "already has a picker",
            id="two-pickers",
        ),
        pytest.param(
            "plugins: [{type: file-discovery, parameters: {path: x}}]\n"
            + PROFILE % "{pluginRef: file-discovery}",
            "is no filter, scorer or picker",
            id="discovery-in-a-profile",
        ),
        pytest.param(
            "schedulingProfiles: [{name: a}, {name: b}]", "no profile handler", id="two-profiles"
        ),
        pytest.param(
            "featureGates: [magic]", "featureGates[0]: feature gate 'magic'", id="unknown-gate"
        ),
        pytest.param(
            "featureGates: [flowControl=maybe]", "'maybe' is not a valid value", id="gate-value"
        ),
        pytest.param(
            "plugins: [{type: queue-scorer}]\n"
            "flowControl: {saturationDetector: {pluginRef: queue-scorer}}",
            "'queue-scorer' is not a saturation detector",
            id="detector-of-another-kind",
        ),
        pytest.param(
            "saturationDetector: {pluginRef: d}",
            "references undefined plugin 'd'",
            id="no-detector",
        ),
        pytest.param(
            "dataLayer: {discovery: {pluginRef: f}}",
            "dataLayer.discovery.pluginRef: references undefined plugin 'f'",
            id="no-discovery",
        ),
        pytest.param(
            "dataLayer: {sources: [{pluginRef: x}]}",
            "dataLayer.sources[0].pluginRef: references undefined plugin 'x'",
            id="undefined-source",
        ),
        pytest.param(
            "dataLayer: {sources: "
            "[{pluginRef: metrics-data-source, extractors: [{pluginRef: y}]}]}",
            "dataLayer.sources[0].extractors[0].pluginRef: references undefined plugin 'y'",
            id="undefined-extractor",
        ),
        pytest.param(
            "requestHandler: {parsers: [{pluginRef: z}]}",
            "requestHandler.parsers[0].pluginRef: references undefined plugin 'z'",
            id="undefined-parser",
        ),
        pytest.param(
            "flowControl: {priorityBands: "
            "[{priority: 1, fairnessPolicyRef: program-aware-fairness}]}",
            "flowControl.priorityBands[0].fairnessPolicyRef: references undefined plugin",
            id="undefined-policy",
        ),
        pytest.param(
            "flowControl: {defaultPriorityBand: {orderingPolicyRef: round-robin-fairness-policy}}",
            "flowControl.defaultPriorityBand.orderingPolicyRef: "
            "'round-robin-fairness-policy' is no ordering policy",
            id="policy-of-another-kind",
        ),
        pytest.param(
            "routing: {objectivesByModel: [{objective: a, models: [m, m]}]}",
            "routing.objectivesByModel: model 'm' stands twice",
            id="a-model-with-two-objectives",
        ),
        pytest.param(
            "routing: {objectivesByModel: [{objective: a}, {objective: b}]}",
            "routing.objectivesByModel: more than one entry has no models",
            id="two-objectives-for-every-model",
        ),
        pytest.param(
            "routing: {objectivesByModel: [{objective: ''}]}",
            "routing.objectivesByModel[0].objective: is empty",
            id="an-objective-without-name",
        ),
        pytest.param("flowControl: {maxRequests: -1}", "maxRequests", id="negative-quantity"),
        pytest.param("flowControl: {defaultRequestTTL: soon}", "defaultRequestTTL", id="duration"),
        pytest.param(
            "flowControl: {priorityBands: [{priority: 1}, {priority: 1}]}",
            "duplicate priority level 1",
            id="duplicate-band",
        ),
        pytest.param(
            "routing: {modelRewrites: [{name: r, rules: [{targets: []}]}]}",
            "routing.modelRewrites[0].rules[0]",
            id="rule-without-targets",
        ),
        pytest.param("plugins: []\nplugins: []", "duplicate key 'plugins'", id="duplicate-key"),
        pytest.param("plugins: [a, b: {]", "line 3, column 18", id="no-yaml"),
        pytest.param("plugins: [", "line 4, column 1", id="yaml-without-an-end"),
        pytest.param("plugins: " + "[" * 10_000, "document: ", id="endlessly-deep"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(body: str, text: str) -> None:
    assert text in problems(body)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "document: is not a mapping"),
        ("[]", "document: is not a mapping"),
        ("kind: EndpointPickerConfig", "apiVersion: is missing"),
        ("apiVersion: llm-d.ai/v1alpha1", "kind: is missing"),
        ("apiVersion: v1\nkind: EndpointPickerConfig", "apiVersion"),
    ],
)
def test_a_document_must_say_what_it_is(text: str, expected: str) -> None:
    assert expected in problems("", head=text)


def test_every_wrong_plugin_is_told_at_once() -> None:
    text = problems("plugins: [{type: a}, {type: b}]")
    assert "plugins[0]" in text
    assert "plugins[1]" in text


@pytest.mark.parametrize(
    ("gate", "differs"),
    [
        ("haPopulateNonLeaderDatastore", False),
        ("haPopulateNonLeaderDatastore=true", False),
        ("haPopulateNonLeaderDatastore=false", True),
    ],
)
def test_pickers_that_do_not_lead_know_the_pool_all_the_same(gate: str, differs: bool) -> None:
    lines = read_configuration(HEAD + f"featureGates: [{gate}]").differences
    assert any("featureGates[0]: without effect" in line for line in lines) is differs
