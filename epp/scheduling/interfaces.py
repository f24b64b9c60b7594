"""What a scheduling plugin can be. Subclass one, give it a `type_name`, done."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, ClassVar

from epp.core.endpoint import Endpoint
from epp.core.request import RequestFacts
from epp.core.spelling import to_camel
from epp.core.stages import Picks, Stage


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
    reads_prefix: ClassVar[bool] = False  # whether `request.cached_tokens` must be filled


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


class Preference(Plugin):
    """Narrows to the better ones of the endpoints that have room, as a filter never does to none.

    In the document it stands among the filters. It comes after all of them, so that nobody waits
    for an endpoint that is only preferred, and may look at the cached prefix and draw lots.
    """

    __slots__ = ()

    @abstractmethod
    def prefer(
        self, request: RequestFacts, endpoints: Sequence[Endpoint], rng: random.Random
    ) -> Sequence[Endpoint]:
        """At least one of the endpoints, in the given order. Called with at least one."""


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
        """Endpoints to list for every gateway. Asked once, when the profile is made."""
        return 1


class Detector(Filter):
    """Says how full an endpoint is. As a filter it keeps the ones that have room."""

    __slots__ = ()

    @abstractmethod
    def with_room(self, endpoints: Sequence[Endpoint], now: float) -> Sequence[Endpoint]:
        """Those where one more request may be placed, in order; where there are none, it waits.

        `now` is monotonic seconds.
        """

    @abstractmethod
    def saturation(self, endpoints: Sequence[Endpoint], now: float) -> float:
        """Load over capacity of all together; 1 is the set point, no endpoint counts as 1."""

    def fit_key(self, request: RequestFacts) -> Hashable:
        return None


class Decider(Plugin):
    """Says whether a request needs a stage of its own, or whether one endpoint does both."""

    __slots__ = ()

    @abstractmethod
    def needed(self, request: RequestFacts, decoder: Endpoint | None) -> bool:
        """`decoder` is the endpoint picked to decode, None where that stage comes later."""

    def fit_key(self, request: RequestFacts) -> Hashable:
        """Requests with equal keys may get equal answers; they wait in one line.

        As with filters, the default is right for every decider and coarse for none.
        """
        return request


class ProfileHandler(Plugin):
    """Says which profiles a request runs through, and what the endpoints are told of each other.

    There is at most one in a configuration. It decides on facts alone; the profiles are run by the
    attempt to place the request, which reserves what they pick in the same step.
    """

    __slots__ = ()
    reads_request: ClassVar[bool] = True  # false: `stages` are the same for every request

    @abstractmethod
    def stages(self, request: RequestFacts, profiles: Sequence[str]) -> Sequence[Stage]:
        """In the order in which they run, each with one of `profiles`, one of them to decode.

        None at all is a refusal.
        """

    def decider_names(self) -> Mapping[str, str]:
        """The deciders that its stages name, by the parameter that names them."""
        return {}

    def check(self, profiles: Sequence[str]) -> Sequence[str]:
        """What a user of these profiles may not expect. Raises ValueError for what cannot work."""
        return ()

    def request_headers(self, picks: Picks) -> Mapping[str, str]:
        """What the request carries to the endpoint that decodes."""
        return {}

    def common_authority(self, decoder: Endpoint) -> str:
        """host:port to send it to; empty: the endpoint's own."""
        return ""

    @property
    def lists_fallbacks(self) -> bool:
        """False where what is told is right for the pick alone."""
        return True


class Admitter(Plugin):
    """May turn a request away when it comes, before it is placed or waits.

    In force wherever it stands in the document. Only requests with a body are shown to it.
    """

    __slots__ = ()

    @abstractmethod
    def refusal(
        self, request: RequestFacts, endpoints: Sequence[Endpoint], rng: random.Random
    ) -> str:
        """Why not; empty for a request that may go on. `endpoints` are those allowed, or none."""


class Answering(Plugin):
    """Has something to say to the client. Mixed into another kind."""

    __slots__ = ()

    @abstractmethod
    def response_headers(self, served: Endpoint) -> Mapping[str, str]:
        """What to set on a response of `served`. Names in lower case."""


class Stateful(Plugin):
    """Remembers past decisions. Subclass it through one of the three kinds below.

    The plugin itself stays frozen parameters. What it remembers is a value that the profile owns
    and hands to every call, and that only `decided` and `finished` may change: a dataclass of
    plain values, with endpoints by their authority, so that it goes into a snapshot as it is. It
    has a bound. It lives as long as the composed picker.
    """

    __slots__ = ()

    @abstractmethod
    def new_state(self) -> Any:
        """Nothing remembered so far: an instance of a dataclass of plain values."""

    def decided(
        self,
        state: Any,
        request: RequestFacts,
        endpoints: Sequence[Endpoint],
        picked: Endpoint,
        now: float,
    ) -> None:
        """`request` was placed on `picked`, one of the endpoints that could be picked."""

    def finished(
        self,
        state: Any,
        request: RequestFacts,
        picked: Endpoint,
        served: Endpoint,
        now: float,
    ) -> None:
        """`served` answered with success, which may be another endpoint than the one picked."""


class StatefulFilter(Stateful):
    __slots__ = ()

    @abstractmethod
    def keep(
        self, state: Any, request: RequestFacts, endpoints: Sequence[Endpoint]
    ) -> Sequence[Endpoint]:
        """As `Filter.keep`."""

    def fit_key(self, request: RequestFacts) -> Hashable:
        """As `Filter.fit_key`, at any one time."""
        return request


class StatefulScorer(Stateful):
    __slots__ = ()

    @abstractmethod
    def score(
        self, state: Any, request: RequestFacts, endpoints: Sequence[Endpoint]
    ) -> Sequence[float]:
        """As `Scorer.score`."""


class StatefulPicker(Stateful):
    __slots__ = ()

    @abstractmethod
    def pick(
        self,
        state: Any,
        endpoints: Sequence[Endpoint],
        scores: Sequence[float],
        count: int,
        rng: random.Random,
    ) -> Sequence[Endpoint]:
        """As `Picker.pick`."""

    @property
    def count(self) -> int:
        """As `Picker.count`."""
        return 1
