"""What the chart installs works: the picker with its arguments and its role, Envoy's start."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.request import urlopen

import pytest
import yaml

from epp.cli.main import cli
from epp.extproc.health import LIVENESS, READINESS
from tests.cluster.accounts import PICKER_RULES, PODS
from tests.cluster.api import Object
from tests.cluster.chart import SERVERS, Chart, container, the_one
from tests.cluster.model_servers import ModelServers
from tests.cluster.namespace import Namespace
from tests.cluster.picker import StartPicker
from tests.cluster.waiting import eventually, holds
from tests.helpers.envoy import validate
from tests.helpers.gateway import health
from tests.helpers.picker import running_picker
from tests.helpers.process import free_ports

# What a picker on a machine that is shared must not be given, or gets from the fixture.
FIXED = ("--grpc-port=", "--grpc-health-port=", "--metrics-port=", "--metrics-endpoint-auth=")
TENANT: Object = {"router": {"modelServers": {"matchLabels": {"app": "model-server"}}}}


def rules_of(objects: Sequence[Object], kind: str = "Role", name: str = "") -> list[Object]:
    return list(the_one(objects, kind, name)["rules"])


def unordered(rules: Sequence[Mapping[str, Sequence[str]]]) -> set[tuple[object, ...]]:
    return {tuple((key, tuple(sorted(each))) for key, each in sorted(one.items())) for one in rules}


def test_the_role_holds_what_the_picker_calls_and_nothing_else(chart: Chart) -> None:
    assert unordered(rules_of(chart.objects(SERVERS))) == unordered(PICKER_RULES)


def test_with_a_selector_pods_are_enough(chart: Chart) -> None:
    alone = {"mode": "standalone", "router": {"inferencePool": {"create": False}}}
    assert unordered(rules_of(chart.objects(SERVERS, alone))) == unordered([PODS])


def test_an_election_needs_its_lease_and_no_other(chart: Chart) -> None:
    objects = chart.objects(SERVERS, {"router": {"epp": {"leaderElection": True}}})
    assert rules_of(objects)[-2:] == [
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["create"]},
        {
            "apiGroups": ["coordination.k8s.io"],
            "resources": ["leases"],
            "resourceNames": ["epp-inference-vllm.llm-d.ai"],
            "verbs": ["get", "update"],
        },
    ]


def test_reviews_are_allowed_only_where_tokens_are_asked_for(chart: Chart) -> None:
    [asks] = [one for one in chart.objects(SERVERS) if one["kind"] == "ClusterRole"]
    assert [(rule["resources"], rule["verbs"]) for rule in asks["rules"]] == [
        (["tokenreviews"], ["create"]),
        (["subjectaccessreviews"], ["create"]),
    ]
    for off in (
        {"epp": {"flags": {"metrics-endpoint-auth": False}}},
        {"monitoring": {"prometheus": {"auth": {"enabled": False}}}},
    ):
        objects = chart.objects(SERVERS, {"router": off})
        assert not [one for one in objects if one["kind"] == "ClusterRole"]
        assert "--metrics-endpoint-auth=false" in container(objects, "epp")["args"]


@pytest.mark.parametrize("everywhere", [False, True], ids=["one namespace", "all namespaces"])
def test_the_body_router_reads_configmaps_where_its_role_lets_it(
    chart: Chart, everywhere: bool
) -> None:
    given = {"bbr": {"enabled": True, "multiNamespace": everywhere}}
    objects = chart.objects(SERVERS, given)
    kind, name = ("ClusterRole", "inference-") if everywhere else ("Role", "")
    [rule] = rules_of(objects, kind, f"{name}body-based-router")
    assert (rule["resources"], rule["verbs"]) == (["configmaps"], ["list", "watch"])
    environment = container(objects, "bbr", "body-based-router").get("env", [])
    assert [one["name"] for one in environment] == ([] if everywhere else ["NAMESPACE"])


async def test_the_body_router_takes_the_charts_arguments(chart: Chart) -> None:
    if "bbr" not in cli.commands:
        pytest.skip("this checkout has no `epp bbr`")
    plugin = {
        "type": "body-field-to-header",
        "name": "model-extractor",
        "json": {"field_name": "model", "header_name": "X-Gateway-Model-Name"},
    }
    given = {"bbr": {"enabled": True, "plugins": [plugin]}}
    arguments = container(chart.objects(SERVERS, given), "bbr", "body-based-router")["args"]
    ports = free_ports(3)
    names = ("grpc-port", "grpc-health-port", "metrics-port")
    last = [f"--{name}={port}" for name, port in zip(names, ports, strict=True)]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "epp", *arguments, "--host=127.0.0.1", *last
    )
    try:

        async def serves() -> bool:
            return await health(ports[1]) == "SERVING"

        await eventually("the body router serves", serves)
    finally:
        process.terminate()
        await process.wait()


def arguments_of(objects: Sequence[Object], namespace: str, folder: Path) -> list[str]:
    """The container's, with its volume in a folder of ours and the names of ours."""
    for name, text in the_one(objects, "ConfigMap")["data"].items():
        (folder / name).write_text(text)
    given = [
        argument.replace("$(NAMESPACE)", namespace).replace("/config/", f"{folder}/")
        for argument in container(objects, "epp")["args"]
    ]
    return [argument for argument in given if not argument.startswith(FIXED)]


@pytest.mark.parametrize(
    "given",
    [
        pytest.param({}, id="pool"),
        pytest.param({"router": {"epp": {"leaderElection": True}}}, id="election"),
        pytest.param(
            {"mode": "standalone", "router": {"inferencePool": {"create": False}}}, id="selector"
        ),
    ],
)
async def test_the_picker_runs_with_the_charts_arguments_under_the_charts_role(
    chart: Chart,
    namespace: Namespace,
    start_picker: StartPicker,
    tmp_path: Path,
    given: Object,
) -> None:
    async with ModelServers() as servers:
        [server] = await servers.start(1)
        ports: Object = {
            "router": {"modelServers": {"targetPorts": [{"number": p} for p in servers.ports]}}
        }
        objects = chart.objects(TENANT, ports, given, release="pool", namespace=namespace.name)
        for one in objects:
            if one["kind"] == "InferencePool":
                await namespace.apply(one)
        await namespace.run_pod("one", server.address)
        account = await namespace.account(rules_of(objects))
        async with start_picker(
            namespace,
            account=account,
            pool="",
            flags=arguments_of(objects, namespace.name, tmp_path),
            environment={"POD_NAME": "pool-epp-5d4f9c7b6-x2x4z"},
        ) as picker:
            await picker.ready()
            await picker.knows(server.authorities)
            await holds("nothing is refused", lambda: not picker.lines("not permitted"), 2.0)


def test_the_probes_ask_for_services_that_there_are(chart: Chart) -> None:
    picker = container(chart.objects(SERVERS), "epp")
    assert picker["livenessProbe"]["grpc"]["service"] == LIVENESS
    assert picker["readinessProbe"]["grpc"]["service"] in READINESS


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"router": {"proxy": {"mode": "service", "failOpen": False}}},
        {"router": {"proxy": {"modelServersFrom": "picks", "bodyMode": "full"}}},
        {"router": {"epp": {"flags": {"secure-serving": False}}, "proxy": {"listenHost": "::"}}},
    ],
    ids=["sidecar", "service", "picks", "plain text, ipv6"],
)
def test_envoy_takes_what_the_first_container_writes(
    chart: Chart, tmp_path: Path, given: Object
) -> None:
    objects = chart.objects(SERVERS, {"mode": "standalone"}, given)
    apart = any(one["metadata"]["name"] == "vllm-epp-proxy" for one in objects)
    writer = container(objects, "envoy-config", "vllm-epp-proxy" if apart else "vllm-epp")
    arguments = [one.replace("/envoy/", f"{tmp_path}/") for one in writer["args"]]
    subprocess.run([sys.executable, "-m", "epp", *arguments], check=True, timeout=30)
    config = json.loads((tmp_path / "bootstrap.json").read_text())
    assert validate(config, tmp_path) == ""
    [listens, status] = [
        one["address"]["socket_address"]["port_value"]
        for one in config["static_resources"]["listeners"]
    ]
    envoy = container(objects, "envoy", "vllm-epp-proxy" if apart else "vllm-epp")
    assert [port["containerPort"] for port in envoy["ports"]] == [listens, status]


@pytest.mark.parametrize("form", ["hpa", "keda"])
@pytest.mark.parametrize("names", ["current", "legacy"])
async def test_scalers_ask_for_metrics_that_the_picker_shows(
    chart: Chart, form: str, names: str
) -> None:
    scaling = {
        "type": form,
        "scaleTargetRef": {"name": "vllm"},
        "metricNames": names,
        "keda": {"serverAddress": "http://prometheus", "runningRequests": 1},
    }
    objects = chart.objects(SERVERS, {"router": {"modelServers": {"autoscaling": scaling}}})
    if form == "hpa":
        scaler = the_one(objects, "HorizontalPodAutoscaler")
        asked = {one["external"]["metric"]["name"] for one in scaler["spec"]["metrics"]}
    else:
        queries = [
            one["metadata"]["query"] for one in the_one(objects, "ScaledObject")["spec"]["triggers"]
        ]
        asked = {re.match(r"\w+\((\w+)\{", query)[1] for query in queries}  # type: ignore[index]
    async with ModelServers() as servers:
        [server] = await servers.start(1)
        with running_picker(server.authorities) as picker:
            where = f"http://127.0.0.1:{picker.metrics_port}/metrics"

            def shown() -> bool:
                with urlopen(where, timeout=5) as page:
                    text = page.read().decode()
                return asked <= set(re.findall(r"^# TYPE (\S+) gauge$", text, re.MULTILINE))

            await eventually(f"{asked} on the page", shown)


def test_a_network_policy_names_ports_that_there_are(chart: Chart) -> None:
    for given in ({"provider": {"name": "istio"}}, {"mode": "standalone"}):
        objects = chart.objects(SERVERS, given, {"router": {"networkPolicy": {"enabled": True}}})
        policy = the_one(objects, "NetworkPolicy")["spec"]
        pod = the_one(objects, "Deployment")["spec"]["template"]
        assert policy["podSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
        names = {port["name"] for one in pod["spec"]["containers"] for port in one.get("ports", [])}
        admitted = {port["port"] for rule in policy["ingress"] for port in rule["ports"]}
        assert admitted <= names
        asks = [rule for rule in policy["ingress"] if {"port": "grpc"} in rule["ports"]]
        assert all(rule.get("from") for rule in asks), "the ext-proc port is open to everybody"


def test_documents_of_the_two_pools_are_valid(chart: Chart, tmp_path: Path) -> None:
    for pool in ("reasoning", "governance"):
        file = Path(__file__).parents[2] / f"manifests/overlays/two-pools/pools/{pool}-values.yaml"
        given = yaml.safe_load(file.read_text(encoding="utf-8"))
        [text] = given["router"]["epp"]["pluginsCustomConfig"].values()
        document = tmp_path / "document.yaml"
        document.write_text(text)
        command = [sys.executable, "-m", "epp", "check-config", str(document)]
        subprocess.run(command, check=True, timeout=30, stdout=subprocess.DEVNULL)
