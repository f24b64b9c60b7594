"""Prefer endpoints by one of their numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, Final

from epp.core.endpoint import Endpoint
from epp.core.request import RequestFacts
from epp.core.spelling import to_camel
from epp.scheduling.attributes import attribute
from epp.scheduling.interfaces import Scorer

STRICT: Final[dict[str, Any]] = {"extra": "forbid", "alias_generator": to_camel}


class Direction(StrEnum):
    LOWER = "linear_lower_is_better"
    HIGHER = "linear_higher_is_better"


@dataclass(frozen=True, slots=True)
class FixedRange:
    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT

    min: float
    max: float

    def __post_init__(self) -> None:
        if not -math.inf < self.min < self.max < math.inf:
            raise ValueError(f"min: {self.min} is not below max {self.max}")


@dataclass(frozen=True, slots=True)
class AdaptiveRange:
    """From the lowest to the highest of the endpoints."""

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT


@dataclass(frozen=True, slots=True)
class Normalization:
    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT

    fixed_range: FixedRange | None = None
    adaptive_range: AdaptiveRange | None = None

    def __post_init__(self) -> None:
        if self.fixed_range is not None and self.adaptive_range is not None:
            raise ValueError("fixedRange and adaptiveRange cannot both be")


@dataclass(frozen=True, slots=True)
class Linear:
    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT

    type: Direction
    normalization: Normalization = Normalization()


@dataclass(frozen=True, slots=True)
class EndpointAttributeScorer(Scorer):
    """1 at the better end of the range to 0 at the other and beyond; 0 without the number.

    Where all that have the number have the same, an adaptive range gives them 1.
    """

    type_name: ClassVar[str] = "endpoint-attribute-scorer"

    attribute_key: str
    algorithm: Linear
    producer: str = "core-metrics-extractor"  # accepted: there is one

    def __post_init__(self) -> None:
        if not self.attribute_key:
            raise ValueError("attributeKey: is empty")

    def score(self, request: RequestFacts, endpoints: Sequence[Endpoint]) -> Sequence[float]:
        numbers = [attribute(endpoint, self.attribute_key) for endpoint in endpoints]
        known = [number for number in numbers if number is not None]
        if not known:
            return [0.0] * len(endpoints)
        fixed = self.algorithm.normalization.fixed_range
        low, high = (min(known), max(known)) if fixed is None else (fixed.min, fixed.max)
        if low == high:
            return [0.0 if number is None else 1.0 for number in numbers]
        worst, best = (high, low) if self.algorithm.type is Direction.LOWER else (low, high)
        return [
            0.0 if number is None else min(1.0, max(0.0, (number - worst) / (best - worst)))
            for number in numbers
        ]
