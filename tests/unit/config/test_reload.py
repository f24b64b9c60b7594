from __future__ import annotations

from dataclasses import replace

from epp.config.build import read_configuration
from epp.config.reload import takeover
from tests.unit.config.documents import HEAD

FILE = """
plugins: [{type: file-discovery, name: f, parameters: {path: %s}}, {type: queue-scorer}]
dataLayer: {discovery: {pluginRef: f}}
"""


def test_what_can_change_is_taken_over_as_it_is() -> None:
    running, wanted = read_configuration(), read_configuration(HEAD + "plugins: []")
    found = takeover(running, wanted)
    assert found.configuration is wanted
    assert found.needs_restart == ()


def test_another_discovery_waits_for_a_restart_and_the_rest_does_not() -> None:
    running = read_configuration(HEAD + FILE % "a.yaml")
    wanted = read_configuration(HEAD + FILE % "b.yaml" + "routing: {controlHeaders: gateway}")
    found = takeover(running, wanted)
    assert found.needs_restart == ("dataLayer.discovery",)
    assert found.configuration == replace(wanted, discovery=running.discovery)
    assert not found.configuration.control_from_clients


def test_nobody_who_waits_loses_the_place_to_a_gate() -> None:
    waits = read_configuration(HEAD + "flowControl: {maxRequests: 7}")
    nobody_waits = read_configuration(HEAD + "featureGates: [flowControl=false]")
    found = takeover(waits, nobody_waits)
    assert found.needs_restart == ("featureGates: flowControl",)
    assert found.configuration.flow_control == waits.flow_control
    assert takeover(nobody_waits, waits).configuration.flow_control is None


def test_what_was_kept_is_told_again_until_the_document_agrees() -> None:
    running = read_configuration(HEAD + FILE % "a.yaml")
    kept = takeover(running, read_configuration(HEAD + FILE % "b.yaml")).configuration
    again = takeover(kept, read_configuration(HEAD + FILE % "b.yaml"))
    assert again.needs_restart == ("dataLayer.discovery",)
    assert takeover(kept, read_configuration(HEAD + FILE % "a.yaml")).needs_restart == ()
