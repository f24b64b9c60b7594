"""What of a new configuration a running picker can take over, and which keys need a restart."""

from __future__ import annotations

from dataclasses import dataclass, replace

from epp.config.settings import Configuration


@dataclass(frozen=True, slots=True)
class Takeover:
    configuration: Configuration  # the wanted one, with what runs where a restart is needed
    needs_restart: tuple[str, ...] = ()  # keys of the document that are not taken over


def takeover(running: Configuration, wanted: Configuration) -> Takeover:
    """`running` is in force. The keys it keeps are told again until the document agrees."""
    keys: list[str] = []
    if wanted.discovery != running.discovery:
        keys.append("dataLayer.discovery")
        wanted = replace(wanted, discovery=running.discovery)
    if (wanted.flow_control is None) is not (running.flow_control is None):
        keys.append("featureGates: flowControl")
        wanted = replace(wanted, flow_control=running.flow_control)
    return Takeover(wanted, tuple(keys))
