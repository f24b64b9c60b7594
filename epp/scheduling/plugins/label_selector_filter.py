"""Keep the endpoints whose labels match a Kubernetes label selector."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar

from epp.core.endpoint import Endpoint
from epp.core.request import RequestFacts
from epp.scheduling.interfaces import Filter

NAME = re.compile(r"(?=.{1,63}$)[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")
PREFIX = re.compile(r"(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


class Operator(StrEnum):
    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


@dataclass(frozen=True, slots=True)
class Requirement:
    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    key: str
    operator: Operator
    values: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        needs_values = self.operator in (Operator.IN, Operator.NOT_IN)
        if needs_values is not bool(self.values):
            wish = "needs" if needs_values else "takes no"
            raise ValueError(f"matchExpressions: {self.operator} of {self.key!r} {wish} values")
        _check("matchExpressions", self.key, self.values)

    def holds(self, labels: Mapping[str, str]) -> bool:
        match self.operator:
            case Operator.IN:
                return labels.get(self.key) in self.values
            case Operator.NOT_IN:
                return labels.get(self.key) not in self.values
            case Operator.EXISTS:
                return self.key in labels
            case Operator.DOES_NOT_EXIST:
                return self.key not in labels


@dataclass(frozen=True, slots=True)
class LabelSelectorFilter(Filter):
    """An empty selector matches everything."""

    type_name: ClassVar[str] = "label-selector-filter"

    match_labels: Mapping[str, str] = field(default_factory=dict)
    match_expressions: tuple[Requirement, ...] = ()

    def __post_init__(self) -> None:
        for key, value in self.match_labels.items():
            _check("matchLabels", key, (value,))

    def keep(self, request: RequestFacts, endpoints: Sequence[Endpoint]) -> Sequence[Endpoint]:
        return [endpoint for endpoint in endpoints if self._matches(endpoint.labels)]

    def fit_key(self, request: RequestFacts) -> Hashable:
        return None

    def _matches(self, labels: Mapping[str, str]) -> bool:
        return all(labels.get(k) == v for k, v in self.match_labels.items()) and all(
            requirement.holds(labels) for requirement in self.match_expressions
        )


@dataclass(frozen=True, slots=True)
class ByLabelSelector(LabelSelectorFilter):
    """The deprecated name."""

    type_name: ClassVar[str] = "by-label-selector"


def _check(where: str, key: str, values: Iterable[str]) -> None:
    """Raises ValueError for what Kubernetes would not take as a label, so could never match."""
    prefix, slash, name = key.rpartition("/")
    if not NAME.fullmatch(name) or (slash and not PREFIX.fullmatch(prefix)):
        raise ValueError(f"{where}: {key!r} is not a label key")
    for value in values:
        if value and not NAME.fullmatch(value):
            raise ValueError(f"{where}: {value!r} is not a label value")
