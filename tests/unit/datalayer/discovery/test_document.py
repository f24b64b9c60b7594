from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from epp.datalayer.discovery.document import (
    MAX_FILE_BYTES,
    MAX_PROBLEMS,
    EndpointsFileError,
    decode_endpoints,
)
from epp.datalayer.store import EndpointSpec

GOOD = b"""
endpoints:
  - name: a
    address: 10.0.0.1
    port: "8000"
    labels: {llm-d.ai/role: decode}
  - name: a
    namespace: other
    address: 2001:DB8:0::1
    port: 8001
"""


def problems(text: bytes) -> list[str]:
    with pytest.raises(EndpointsFileError) as caught:
        decode_endpoints(text, "pool.yaml")
    return list(caught.value.problems)


def entry(**fields: object) -> bytes:
    found = {"name": "a", "address": "10.0.0.1", "port": 8000} | fields
    return json.dumps({"endpoints": [found]}).encode()


def test_a_good_file() -> None:
    assert decode_endpoints(GOOD, "pool.yaml") == [
        EndpointSpec("a", "10.0.0.1", 8000, labels={"llm-d.ai/role": "decode"}),
        EndpointSpec("a", "2001:db8::1", 8001, namespace="other"),
    ]


def test_json_indented_with_tabs() -> None:
    text = json.dumps(
        {"endpoints": [{"name": "a", "address": "::1", "port": 1}]}, indent="\t"
    ).encode()
    assert decode_endpoints(text, "pool.json") == [EndpointSpec("a", "::1", 1)]


def test_a_pool_may_be_empty() -> None:
    assert decode_endpoints(b"endpoints: []", "pool.yaml") == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(entry(port=0), "endpoints[0].port: a port from 1 to 65535", id="port-0"),
        pytest.param(entry(port=65536), "endpoints[0].port: a port", id="port-65536"),
        pytest.param(entry(port="80x"), "expected, not '80x'", id="port-text"),
        pytest.param(entry(port=True), "endpoints[0].port: a port", id="port-true"),
        pytest.param(entry(port=None), "endpoints[0].port: a port", id="port-missing"),
        pytest.param(entry(port="٣"), "endpoints[0].port: a port", id="port-other-digits"),
        pytest.param(entry(address="gpu-1"), "endpoints[0].address: an IPv4", id="host-name"),
        pytest.param(entry(address="10.0.0.1:80"), "endpoints[0].address", id="with-port"),
        pytest.param(entry(address="[::1]"), "endpoints[0].address", id="brackets"),
        pytest.param(entry(address="fe80::1%eth0"), "endpoints[0].address", id="zone"),
        pytest.param(entry(address=1), "endpoints[0].address", id="address-number"),
        pytest.param(entry(name=""), "endpoints[0].name: a text is expected", id="name-empty"),
        pytest.param(entry(name=7), "endpoints[0].name: a text is expected", id="name-number"),
        pytest.param(entry(namespace=None), "endpoints[0].namespace", id="namespace-null"),
        pytest.param(entry(labels=["x"]), "endpoints[0].labels: a mapping", id="labels-list"),
        pytest.param(entry(labels={"n": 1}), "endpoints[0].labels.n", id="label-number"),
        pytest.param(entry(adress="x"), "endpoints[0]: unknown field 'adress'", id="unknown"),
        pytest.param(b"endpoint: []", "unknown field 'endpoint'", id="unknown-at-the-top"),
        pytest.param(b"endpoints:", "endpoints: a list is expected, not nothing", id="null"),
        pytest.param(b"endpoints: [x]", "endpoints[0]: a mapping is expected", id="no-mapping"),
        pytest.param(b"", "a mapping with `endpoints` is expected, not nothing", id="empty"),
        pytest.param(b"endpoints: [}", "line 1", id="no-yaml"),
        pytest.param(b"\xff\xfe\xff", "pool.yaml: ", id="no-text"),
        pytest.param(b"endpoints: []\nendpoints: []", "given twice", id="yaml-key-twice"),
        pytest.param(b'{"endpoints":[],"endpoints":[]}', "given twice", id="json-key-twice"),
        pytest.param(b"[" * 500_000, "deep", id="brackets-only"),
        pytest.param(b"- " * 500_000, "deep", id="dashes-only"),
        pytest.param(b"a: &a [*a]\nendpoints: *a", "endpoints[0]: a mapping", id="endless-alias"),
        pytest.param(b"!!python/object:os.x {}", "pool.yaml: ", id="a-python-object"),
        pytest.param(b" " * (MAX_FILE_BYTES + 1), "more than 1048576 bytes", id="too-large"),
    ],
)
def test_a_problem_names_its_place(text: bytes, expected: str) -> None:
    found = problems(text)
    assert any(expected in problem for problem in found)
    assert all(problem.startswith("pool.yaml: ") for problem in found)
    assert all(len(problem) < 400 for problem in found)


def test_all_problems_are_listed() -> None:
    text = b"""
endpoints:
  - {name: a, address: 10.0.0.1, port: 80}
  - {address: here, port: 70000}
  - {name: a, address: 10.0.0.2, port: 80}
"""
    assert problems(text) == [
        "pool.yaml: endpoints[1].name: a text is expected, not nothing",
        "pool.yaml: endpoints[1].address: an IPv4 or IPv6 address is expected, not 'here'",
        "pool.yaml: endpoints[1].port: a port from 1 to 65535 is expected, not 70000",
        "pool.yaml: endpoints[2]: default/a is given already at endpoints[0]",
    ]


def test_a_message_does_not_grow_without_end() -> None:
    text = json.dumps({"endpoints": [{"name": "a"}] * 100}).encode()
    with pytest.raises(EndpointsFileError) as caught:
        decode_endpoints(text, "pool.json")
    assert len(caught.value.problems) == 200
    lines = str(caught.value).splitlines()
    assert len(lines) == MAX_PROBLEMS + 1
    assert lines[-1] == "and 180 more"


@given(st.binary(max_size=200))
@example(b"endpoints: {<<: *x}")
@example(b"? [a]\n: b")
def test_no_bytes_do_more_than_fail(text: bytes) -> None:
    with contextlib.suppress(EndpointsFileError):
        decode_endpoints(text, "pool.yaml")
