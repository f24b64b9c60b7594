"""An endpoint is full when its engine queues, or when its KV cache runs out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from epp.scheduling.utilization import Utilization


@dataclass(frozen=True, slots=True)
class UtilizationDetector(Utilization):
    """With the thresholds of the Go picker."""

    type_name: ClassVar[str] = "utilization-detector"
