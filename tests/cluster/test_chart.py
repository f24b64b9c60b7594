"""Every form of the chart and every overlay is what a real API server takes, field for field."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from epp.telemetry.trace_context import ALL_IDS, Sampler
from epp.telemetry.tracing_settings import Exporter, tracing_settings
from scripts.render_manifests import ALL, Rendered, stale
from tests.cluster.api import Api, Object
from tests.cluster.chart import (
    SERVERS,
    Chart,
    Refused,
    container,
    overlay,
    refusals,
    the_one,
)
from tests.cluster.tools import Tools

HERE = Path(__file__).parent


def values(**paths: object) -> Object:
    """`a__b=1` is {a: {b: 1}}."""
    made: Object = {}
    for path, value in paths.items():
        *parents, last = path.split("__")
        here: dict[str, Any] = made
        for parent in parents:
            here = here.setdefault(parent, {})
        here[last] = value
    return made


MATRIX: dict[str, Object] = yaml.safe_load((HERE / "chart_matrix.yaml").read_text(encoding="utf-8"))
CASES = pytest.mark.parametrize("given", list(MATRIX.values()), ids=list(MATRIX))


@CASES
async def test_the_server_takes_what_the_chart_makes(
    chart: Chart, server: Api, given: Object
) -> None:
    assert await refusals(server, chart.objects(SERVERS, given)) == []


@CASES
def test_helm_finds_no_fault(chart: Chart, given: Object) -> None:
    chart.lint(SERVERS, given)


@CASES
def test_a_slow_start_is_no_reason_to_restart(chart: Chart, given: Object) -> None:
    made = chart.objects(SERVERS, given)
    templates = [one["spec"]["template"] for one in made if one["kind"] == "Deployment"]
    containers = [one for template in templates for one in template["spec"]["containers"]]
    probed = [one for one in containers if "livenessProbe" in one]
    assert probed
    for one in probed:
        start = one["startupProbe"]
        assert start["grpc"] == one["livenessProbe"]["grpc"]
        assert start["periodSeconds"] * start["failureThreshold"] >= 60


OVERLAYS = [
    "base",
    *(f"overlays/{name}" for name in ("kind", "gke", "two-pools", "two-pools-kind")),
]


@pytest.mark.parametrize("name", OVERLAYS)
async def test_the_server_takes_every_overlay(tools: Tools, server: Api, name: str) -> None:
    assert await refusals(server, overlay(tools, name)) == []


async def test_a_dry_run_refuses_what_is_wrong(chart: Chart, server: Api) -> None:
    objects = chart.objects(SERVERS, values(provider__name="gke"))
    the_one(objects, "InferencePool")["spec"]["endpointPickerRef"]["failureMode"] = "FailClosed"
    the_one(objects, "Deployment")["spec"]["template"]["spec"]["nodeNames"] = "x"
    the_one(objects, "GCPBackendPolicy")["spec"]["default"]["timeoutSecs"] = 1
    refused = await refusals(server, objects)
    assert [line.split(":")[0] for line in refused] == [
        "Deployment vllm-epp",
        "GCPBackendPolicy vllm",
        "InferencePool vllm",
    ]


@pytest.mark.parametrize("part", ALL, ids=lambda part: part.path)
def test_the_manifests_are_the_charts(tools: Tools, part: Rendered) -> None:
    assert stale(str(tools.helm), [part]) == [], "run `make manifests`"


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({}, "router.modelServers.matchLabels is required"),
        (values(router__epp__replica=2), "'replica' not allowed"),
        (values(router__inferencePool__failureMode="FailClosed"), "'FailOpen', 'FailClose'"),
        (values(router__proxy__proxyType="agentgateway"), "must be 'envoy'"),
        (values(router__epp__flags={"metrics-port": 1}), "router.epp.flags.metrics-port"),
        (values(router__epp__pluginsConfigFile="mine.yaml"), '"mine.yaml" is not default'),
        (values(router__latencyPredictor__enabled=True), "latencyPredictor is not supported"),
        (values(provider__name="gke", router__networkPolicy__enabled=True), "gke.proxySubnets"),
        (values(router__networkPolicy__enabled=True), "router.networkPolicy.gatewayFrom"),
        (values(router__modelServers__autoscaling__type="hpa"), "scaleTargetRef.name is required"),
        (values(router__modelServers__targetPorts=[{"number": 70000}]), "targetPorts"),
        (values(mode="both"), "/mode"),
    ],
)
def test_values_that_cannot_work_are_refused(chart: Chart, given: Object, complaint: str) -> None:
    with pytest.raises(Refused) as caught:
        chart.objects(*([SERVERS, given] if given else []))
    assert complaint in str(caught.value)


def test_values_of_older_charts_make_the_same_objects(chart: Chart) -> None:
    extension = {
        "replicas": 2,
        "image": {"registry": "r.example", "repository": "epp", "tag": "v1"},
        "flags": {"v": 4, "grpc-max-recv-msg-size": 67108864},
        "failureMode": "FailClose",
        "monitoring": {"prometheus": {"enabled": True, "auth": {"enabled": False}}},
        "tracing": {"enabled": True},
        "sidecar": {"enabled": False},
        "latencyPredictor": {"enabled": False},
    }
    older = {
        "inferenceExtension": extension,
        "inferencePool": {
            "targetPorts": [{"number": 8000}, {"number": 8001}],
            "modelServerType": "sglang",
            "modelServers": {"matchLabels": {"app": "vllm"}},
        },
        "inferenceObjectives": [{"name": "high", "priority": 5}],
        "experimentalHttpRoute": {"enabled": True, "requestTimeout": "10s"},
    }
    newer = values(
        router__epp={key: extension[key] for key in ("replicas", "image", "flags")},
        router__monitoring=extension["monitoring"],
        router__tracing__enabled=True,
        router__inferencePool__failureMode="FailClose",
        router__modelServers={
            "targetPorts": [{"number": 8000}, {"number": 8001}],
            "type": "sglang",
            "matchLabels": {"app": "vllm"},
        },
        router__inferenceObjectives=[{"name": "high", "priority": 5}],
        httpRoute={"create": True, "requestTimeout": "10s"},
    )
    made = chart.objects(older)
    assert made == chart.objects(newer)
    assert "--grpc-max-recv-msg-size=67108864" in container(made, "epp")["args"]
    assert "--metrics-endpoint-auth=false" in container(made, "epp")["args"]
    assert the_one(made, "InferencePool")["spec"]["endpointPickerRef"]["failureMode"] == "FailClose"


def test_traces_are_off_or_go_where_the_values_say(chart: Chart) -> None:
    plain = container(chart.objects(SERVERS), "epp")
    assert "--tracing=false" in plain["args"]
    assert not any(entry["name"].startswith("OTEL_") for entry in plain["env"])
    traced = values(
        router__tracing={
            "enabled": True,
            "otelExporterEndpoint": "http://collector.observability:4317",
            "sampling": {"sampler": "traceidratio", "samplerArg": "0.25"},
        }
    )
    epp = container(chart.objects(SERVERS, traced), "epp")
    assert "--tracing=true" in epp["args"]
    environment = {entry["name"]: entry.get("value", "") for entry in epp["env"]}
    settings = tracing_settings(environment, enabled=True)
    assert settings.problems == ()
    assert settings.exporter is Exporter.GRPC
    assert "http://collector.observability:4317" in settings.says
    assert settings.sampler == Sampler(follows_parent=False, bound=ALL_IDS // 4)
    assert environment["OTEL_SERVICE_NAME"] == "epp"


def test_target_ports_as_one_number_or_a_text(chart: Chart) -> None:
    for ports in (8000, "8000, 8001"):
        [*numbers] = str(ports).split(", ")
        made = chart.objects(SERVERS, values(endpointsServer__targetPorts=ports))
        pool = the_one(made, "InferencePool")["spec"]
        assert pool["targetPorts"] == [{"number": int(number)} for number in numbers]
