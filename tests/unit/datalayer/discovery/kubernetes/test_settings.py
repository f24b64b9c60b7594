from __future__ import annotations

from collections.abc import Callable

import pytest

from epp.datalayer.discovery.kubernetes.settings import (
    EndpointSelector,
    KubernetesSettings,
    PoolReference,
    deployment_of,
)


def test_a_port_given_twice_counts_once() -> None:
    assert EndpointSelector("a=b", (8000, 8001, 8000)).target_ports == (8000, 8001)
    assert len(EndpointSelector("a=b", tuple(range(1, 9)) * 2).target_ports) == 8


@pytest.mark.parametrize(
    ("group", "version"),
    [("inference.networking.k8s.io", "v1"), ("inference.networking.x-k8s.io", "v1alpha2")],
)
def test_the_version_of_a_pool_group(group: str, version: str) -> None:
    assert PoolReference("pool", group).version == version


@pytest.mark.parametrize(
    ("make", "named"),
    [
        pytest.param(lambda: EndpointSelector("a=b", ()), "1 to 8 are needed, not 0", id="none"),
        pytest.param(
            lambda: EndpointSelector("a=b", tuple(range(1, 10))), "not 9", id="nine-ports"
        ),
        pytest.param(lambda: EndpointSelector("a=b", (0,)), "0 is not in 1..65535", id="port-0"),
        pytest.param(lambda: EndpointSelector("a=b", (65536,)), "65536 is not", id="port-high"),
        pytest.param(lambda: EndpointSelector("a=b=c", (1,)), "label selector", id="selector"),
        pytest.param(lambda: PoolReference("pool", "example.com"), "example.com", id="group"),
        pytest.param(lambda: PoolReference("A pool"), "'A pool'", id="pool-name"),
        pytest.param(lambda: PoolReference("../pods"), "'../pods'", id="pool-path"),
        pytest.param(
            lambda: KubernetesSettings(PoolReference("p"), "a/b"), "'a/b'", id="namespace"
        ),
    ],
)
def test_what_cannot_be_followed_is_refused(make: Callable[[], object], named: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        make()
    assert named in str(caught.value)


@pytest.mark.parametrize(
    ("pod", "deployment"),
    [("epp-5d9f7c-x2x4z", "epp"), ("my-epp-5d9f7c-x2x4z", "my-epp"), ("a-b-c-d", "a-b")],
)
def test_the_deployment_of_a_pod(pod: str, deployment: str) -> None:
    assert deployment_of(pod) == deployment


@pytest.mark.parametrize("pod", ["", "epp", "epp-1", "-a-b", "epp--b", "epp-a-"])
def test_a_pod_of_no_deployment(pod: str) -> None:
    with pytest.raises(ValueError, match="POD_NAME"):
        deployment_of(pod)
