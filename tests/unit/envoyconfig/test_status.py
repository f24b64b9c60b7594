from __future__ import annotations

from epp.envoyconfig.status import status_listener


def test_only_the_two_pages_are_shown():
    made = status_listener("0.0.0.0", 19001)
    assert made["address"] == {"socket_address": {"address": "0.0.0.0", "port_value": 19001}}
    [chain] = made["filter_chains"]
    [network_filter] = chain["filters"]
    [host] = network_filter["typed_config"]["route_config"]["virtual_hosts"]
    assert [route["match"] for route in host["routes"]] == [
        {"path": "/ready"},
        {"path": "/stats/prometheus"},
    ]
    assert {route["route"]["cluster"] for route in host["routes"]} == {"admin"}
