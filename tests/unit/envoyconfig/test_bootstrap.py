from __future__ import annotations

import json
from dataclasses import replace

import pytest

from epp.envoyconfig.bootstrap import bootstrap
from epp.envoyconfig.settings import Balancing, EnvoySettings, Mode

SETTINGS = EnvoySettings(listen_port=8080, picker_port=9002, model_servers=("127.0.0.1:8000",))


def test_one_listener_and_two_clusters_named_as_the_rest_refers_to_them():
    resources = bootstrap(SETTINGS)["static_resources"]
    assert [each["name"] for each in resources["listeners"]] == ["gateway"]
    assert [each["name"] for each in resources["clusters"]] == ["picker", "pool"]


@pytest.mark.parametrize(
    ("port", "admin"),
    [
        pytest.param(
            9901,
            {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 9901}}},
            id="on loopback",
        ),
        pytest.param(None, None, id="none"),
    ],
)
def test_the_admin_interface(port, admin):
    assert bootstrap(replace(SETTINGS, admin_port=port)).get("admin") == admin


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("balancing", list(Balancing))
def test_every_variant_survives_json(mode, balancing):
    config = bootstrap(replace(SETTINGS, mode=mode, balancing=balancing))
    assert json.loads(json.dumps(config)) == config


def test_two_configurations_do_not_share_what_a_caller_may_edit():
    first, second = bootstrap(SETTINGS), bootstrap(SETTINGS)
    first["static_resources"]["clusters"][0]["circuit_breakers"]["thresholds"].clear()
    assert second["static_resources"]["clusters"][0]["circuit_breakers"]["thresholds"]
