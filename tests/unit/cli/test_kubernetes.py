from __future__ import annotations

from pathlib import Path

import click
import pytest

from epp.app.settings import ServeSettings
from epp.cli.main import cli
from epp.cli.settings import serve_settings
from epp.datalayer.discovery.kubernetes.settings import (
    EndpointSelector,
    KubernetesSettings,
    PoolReference,
)


@pytest.fixture(autouse=True)
def _pod_without_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NAMESPACE", "POD_NAME"):
        monkeypatch.delenv(name, raising=False)


def settings(*arguments: str, own_discovery: bool = False) -> ServeSettings:
    with cli.make_context("epp", [*arguments, "check-config"]) as context:
        return serve_settings(context.params, own_discovery=own_discovery)


def test_without_a_flag_of_the_pool_there_is_no_kubernetes() -> None:
    assert settings("--kubeconfig=/k", "--pool-namespace=ns").kubernetes is None
    assert settings().pool_name == "epp"


def test_a_pool() -> None:
    given = settings("--pool-name=llama", "--pool-namespace=ns", "--kubeconfig", "/k")
    assert given.kubernetes == KubernetesSettings(PoolReference("llama"), "ns", Path("/k"))
    assert given.pool_name == "llama"
    old = settings("--pool-name=llama", "--pool-group=inference.networking.x-k8s.io")
    assert old.kubernetes == KubernetesSettings(
        PoolReference("llama", "inference.networking.x-k8s.io")
    )


def test_the_namespace_is_the_flag_then_the_environment_then_the_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NAMESPACE", "env")
    for flags, namespace in ((["--pool-namespace=flag"], "flag"), ([], "env")):
        found = settings("--pool-name=p", *flags).kubernetes
        assert found is not None
        assert found.namespace == namespace
    monkeypatch.setenv("NAMESPACE", "")
    assert settings("--pool-name=p").kubernetes == KubernetesSettings(PoolReference("p"))


@pytest.mark.parametrize(
    "ports",
    [
        ["--endpoint-target-ports=8000,8001"],
        ["--endpoint-target-ports=8000", "--endpoint-target-ports", "8001"],
        ["--endpoint-target-ports=8000, 8001,8000"],
    ],
)
def test_a_selector(monkeypatch: pytest.MonkeyPatch, ports: list[str]) -> None:
    monkeypatch.setenv("POD_NAME", "my-epp-5d9f7c-x2x4z")
    given = settings("--endpoint-selector=app in (a,b),!old", *ports)
    assert given.kubernetes == KubernetesSettings(
        EndpointSelector("app in (a,b),!old", (8000, 8001))
    )
    assert given.pool_name == "my-epp"


SELECTOR = ["--endpoint-selector=a=b"]
PORT = ["--endpoint-target-ports=8000"]


def test_with_a_discovery_of_the_document_no_pod_is_asked_for() -> None:
    assert settings(*SELECTOR, *PORT, own_discovery=True).pool_name == "epp"
    assert settings("--pool-name=llama", own_discovery=True).pool_name == "llama"


@pytest.mark.parametrize(
    ("arguments", "pod", "text"),
    [
        (["--pool-name=p", *SELECTOR, *PORT], "a-b-c", "cannot both be given"),
        (["--pool-name=p", *PORT], "", "is only for --endpoint-selector"),
        (SELECTOR, "a-b-c", "1 to 8 are needed, not 0"),
        ([*SELECTOR, "--endpoint-target-ports=1,2,3,4,5,6,7,8,9"], "a-b-c", "not 9"),
        ([*SELECTOR, "--endpoint-target-ports=http"], "a-b-c", "'http' is not a port"),
        ([*SELECTOR, "--endpoint-target-ports=70000"], "a-b-c", "70000 is not in 1..65535"),
        (["--endpoint-selector=a==b==c", *PORT], "a-b-c", "label selector: 'a==b==c'"),
        ([*SELECTOR, *PORT], "", "POD_NAME"),
        (["--pool-name=p", "--pool-group=example.com"], "", "'example.com' is not known"),
        (["--pool-name=p", "--pool-namespace=A B"], "", "'A B' is not a name of a namespace"),
    ],
)
def test_what_does_not_fit_is_refused(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], pod: str, text: str
) -> None:
    monkeypatch.setenv("POD_NAME", pod)
    with pytest.raises(click.UsageError) as caught:
        settings(*arguments)
    assert text in str(caught.value)
