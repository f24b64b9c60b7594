from __future__ import annotations

from epp.datalayer.discovery.kubernetes.resource import Resource


def test_a_resource_of_the_core_group() -> None:
    pods = Resource("", "v1", "pods", "Pod", "ns", label_selector="a=b")
    assert pods.path == "/api/v1/namespaces/ns/pods"
    assert pods.group_path == "/api/v1"
    assert pods.name == "pods"
    assert pods.query() == {"labelSelector": "a=b"}


def test_a_resource_of_a_named_group() -> None:
    pools = Resource("example.com", "v2", "pools", "Pool", "ns", field_selector="metadata.name=p")
    assert pools.path == "/apis/example.com/v2/namespaces/ns/pools"
    assert pools.group_path == "/apis/example.com/v2"
    assert pools.name == "pools.example.com"
    assert pools.query() == {"fieldSelector": "metadata.name=p"}
