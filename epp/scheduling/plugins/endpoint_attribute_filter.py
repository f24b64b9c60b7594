"""Keep endpoints of which a number compares as wanted with a threshold."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, Final, Literal

from epp.core.endpoint import Endpoint
from epp.core.request import RequestFacts
from epp.core.spelling import to_camel
from epp.scheduling.attributes import attribute
from epp.scheduling.interfaces import Filter

STRICT: Final[dict[str, Any]] = {"extra": "forbid", "alias_generator": to_camel}


class Operator(StrEnum):
    LESS_THAN = "LessThan"
    LESS_THAN_OR_EQUAL = "LessThanOrEqual"
    GREATER_THAN = "GreaterThan"
    GREATER_THAN_OR_EQUAL = "GreaterThanOrEqual"
    EQUAL = "Equal"
    NOT_EQUAL = "NotEqual"


COMPARE: Final[Mapping[Operator, Callable[[float, float], bool]]] = {
    Operator.LESS_THAN: operator.lt,
    Operator.LESS_THAN_OR_EQUAL: operator.le,
    Operator.GREATER_THAN: operator.gt,
    Operator.GREATER_THAN_OR_EQUAL: operator.ge,
    Operator.EQUAL: operator.eq,
    Operator.NOT_EQUAL: operator.ne,
}


@dataclass(frozen=True, slots=True)
class Threshold:
    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT

    operator: Operator
    value: float

    def __post_init__(self) -> None:
        if not math.isfinite(self.value):
            raise ValueError(f"value: {self.value} is not finite")


@dataclass(frozen=True, slots=True)
class Comparison:
    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT

    threshold: Threshold
    type: Literal["threshold"] = "threshold"


@dataclass(frozen=True, slots=True)
class EndpointAttributeFilter(Filter):
    type_name: ClassVar[str] = "endpoint-attribute-filter"

    attribute: str
    algorithm: Comparison
    producer: str = "core-metrics-extractor"  # accepted: there is one
    on_missing: Literal["Pass", "Fail"] = "Pass"  # for endpoints without the number
    fallback_on_empty: bool = False  # keep all where none compares as wanted

    def __post_init__(self) -> None:
        if not self.attribute:
            raise ValueError("attribute: is empty")

    def keep(self, request: RequestFacts, endpoints: Sequence[Endpoint]) -> Sequence[Endpoint]:
        threshold, passes = self.algorithm.threshold, self.on_missing == "Pass"
        compare = COMPARE[threshold.operator]
        kept = []
        for endpoint in endpoints:
            number = attribute(endpoint, self.attribute)
            if passes if number is None else compare(number, threshold.value):
                kept.append(endpoint)
        return endpoints if not kept and self.fallback_on_empty else kept

    def fit_key(self, request: RequestFacts) -> Hashable:
        return None
