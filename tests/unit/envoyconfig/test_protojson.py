from __future__ import annotations

import pytest

from epp.envoyconfig.protojson import address, duration, metadata_key, typed


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        pytest.param(0.1, "0.100s", id="fraction"),
        pytest.param(660, "660.000s", id="whole"),
        pytest.param(1e7, "10000000.000s", id="never in exponents"),
        pytest.param(0.001, "0.001s", id="shortest"),
    ],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_an_extension_names_its_message():
    assert typed("router", "envoy.Router", suppress=True) == {
        "name": "router",
        "typed_config": {"@type": "type.googleapis.com/envoy.Router", "suppress": True},
    }


def test_addresses_and_metadata_keys():
    assert address("::1", 80) == {"socket_address": {"address": "::1", "port_value": 80}}
    assert metadata_key("envoy.lb", "pick") == {"key": "envoy.lb", "path": [{"key": "pick"}]}
