"""Who says that an endpoint is full: the detector that the document names, or ours."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from epp.config.differences import OF_UTILIZATION
from epp.config.document import Document, only_in_shadows
from epp.config.errors import ConfigError
from epp.scheduling.interfaces import Detector
from epp.scheduling.plugins.capacity_detector import CapacityDetector
from epp.scheduling.plugins.utilization_detector import UtilizationDetector

# What the Go picker uses where none is named, and makes where it is named and not listed.
USUAL: Final = UtilizationDetector.type_name


@dataclass(frozen=True, slots=True)
class Chosen:
    detector: Detector
    notes: tuple[str, ...] = ()  # what a user of this document may not expect


def chosen_detector(document: Document, instances: Mapping[str, object], *, waits: bool) -> Chosen:
    """`instances` is every configured plugin by name; `waits`, whether requests ever wait.

    Raises ConfigError.
    """
    where, reference = "saturationDetector.pluginRef", document.saturation_detector
    flow_control = document.flow_control
    if flow_control is not None and flow_control.saturation_detector is not None:
        where, reference = f"flowControl.{where}", flow_control.saturation_detector
    if reference is None:
        listed = None if USUAL in only_in_shadows(document) else instances.get(USUAL)
        return Chosen(listed) if isinstance(listed, Detector) else _ours(waits)
    name = reference.plugin_ref
    if name not in instances:
        if name == USUAL:
            return Chosen(UtilizationDetector(), (f"{where}: {OF_UTILIZATION}",))
        raise ConfigError([f"{where}: references undefined plugin '{name}'"])
    found = instances[name]
    if not isinstance(found, Detector):
        raise ConfigError([f"{where}: '{name}' is not a saturation detector"])
    return Chosen(found)


def _ours(waits: bool) -> Chosen:
    note = (
        f"flowControl.saturationDetector: none is named, so {CapacityDetector.type_name} says "
        f"which endpoints are full; in the Go picker {USUAL} does"
    )
    return Chosen(CapacityDetector(), (note,) if waits else ())
