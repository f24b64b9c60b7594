"""What a scheduling plugin can be. Subclass one, give it a `type_name`, done."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from typing import Any, ClassVar

from epp.core.endpoint import Endpoint
from epp.core.request import RequestFacts
from epp.core.spelling import to_camel


class Plugin(ABC):
    """A frozen dataclass whose fields are its YAML parameters, in camelCase there.

    A ValueError that `__post_init__` raises becomes a configuration error at the plugin's place.
    """

    __slots__ = ()
    __pydantic_config__: ClassVar[dict[str, Any]] = {
        "extra": "forbid",  # a misspelt parameter is an error
        "alias_generator": to_camel,
        "arbitrary_types_allowed": True,
    }
    type_name: ClassVar[str]


class Filter(Plugin):
    __slots__ = ()

    @abstractmethod
    def keep(self, request: RequestFacts, endpoints: Sequence[Endpoint]) -> Sequence[Endpoint]:
        """The endpoints that may serve `request`, in the given order."""

    def fit_key(self, request: RequestFacts) -> Hashable:
        """Requests with equal keys are kept to the same endpoints, whatever the endpoints are.

        Waiting requests are tried once per key, so a coarse key makes a long queue cheap. The
        default is right for every filter and coarse for none.
        """
        return request


class Scorer(Plugin):
    __slots__ = ()
    reads_prefix: ClassVar[bool] = False  # whether `request.cached_tokens` must be filled
    reads_costs: ClassVar[bool] = False  # whether `request.estimate` and what follows it must be

    @abstractmethod
    def score(self, request: RequestFacts, endpoints: Sequence[Endpoint]) -> Sequence[float]:
        """One score per endpoint, in the same order; 0 worst, 1 best."""


class Picker(Plugin):
    __slots__ = ()

    @abstractmethod
    def pick(
        self,
        endpoints: Sequence[Endpoint],
        scores: Sequence[float],
        count: int,
        rng: random.Random,
    ) -> Sequence[Endpoint]:
        """At most `count`, the best first. Called with at least one endpoint and a count of 1."""

    @property
    def count(self) -> int:
        """Endpoints to list for every gateway."""
        return 1


class Detector(Filter):
    """Says how full an endpoint is. As a filter it keeps the ones that have room."""

    __slots__ = ()

    @abstractmethod
    def with_room(self, endpoints: Sequence[Endpoint], now: float) -> Sequence[Endpoint]:
        """Those where one more request may be placed, in order. `now` is monotonic seconds."""

    @abstractmethod
    def saturation(self, endpoints: Sequence[Endpoint], now: float) -> float:
        """Load over capacity of all together; 1 is the set point, no endpoint counts as 1."""

    def fit_key(self, request: RequestFacts) -> Hashable:
        return None
