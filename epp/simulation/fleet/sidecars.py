"""What the sidecar of the server that answers does before it asks its own engine.

It has images encoded, then the prompt computed, by the servers that the decision names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import cycle
from typing import Any, Protocol

from epp.core.stages import ENCODERS_HEADER, PREFILLER_HEADER
from epp.simulation.fleet.engine import FleetEngine
from epp.simulation.fleet.flights import Flight
from epp.simulation.fleet.requests import FleetRequest
from epp.simulation.fleet.servers import Server
from epp.simulation.fleet.transfers import Links
from epp.simulation.profiles import PROFILES


class Run(Protocol):
    @property
    def now(self) -> float: ...
    def at(self, when: float, act: Callable[[Any], None], what: Any) -> None: ...
    def submit(self, flight: Flight, request: FleetRequest) -> bool:
        """Ask the server that this part of a request is for. False: the request is lost."""
        ...

    def deliver(self, flight: Flight) -> None:
        """Ask the server that answers."""
        ...

    def step(self, of: tuple[Server, FleetEngine]) -> None: ...


class Sidecars:
    """Of all servers."""

    def __init__(self, run: Run, links: Links, by_authority: Mapping[str, Server]) -> None:
        self._run = run
        self._links = links
        self._by_authority = by_authority

    def share(self, flight: Flight, headers: Mapping[str, str]) -> bool:
        """Whether others do a part of the request, as the decision's headers say."""
        prefiller, encoders = headers.get(PREFILLER_HEADER), headers.get(ENCODERS_HEADER)
        asked = flight.request
        if prefiller is not None:
            flight.prefiller = self._by_authority[prefiller]
            flight.prefill = FleetRequest(asked.segments, 1, adapter=asked.adapter)
            flight.prefill.keeps_blocks = True
        if encoders is not None and asked.images:
            self._deal_out(flight, [self._by_authority[name] for name in encoders.split(",")])
        return prefiller is not None or len(flight.encodes) > 0

    def begin(self, flight: Flight) -> None:
        if not flight.encodes:
            self._ask_prefiller(flight)
            return
        for part in list(flight.encodes):
            if not self._run.submit(flight, part):
                return

    def came_back(self, of: tuple[Flight, FleetRequest]) -> None:
        """Another server has done its part."""
        flight, part = of
        if part is flight.prefill:
            self._prefilled(flight)
        elif not flight.record.lost:
            self._encoded(flight, part)

    def let_go(self, flight: Flight) -> None:
        """Nobody needs the keys and values of its prompt at the prefiller any more."""
        run, prefiller, engine = self._run, flight.prefiller, flight.prefill_engine
        if flight.prefill is None or prefiller is None or engine is not prefiller.engine:
            return  # it crashed since, or never began
        idle = engine.idle
        engine.let_go(flight.prefill, run.now)
        if idle and not engine.idle:
            run.at(engine.ends_at, run.step, (prefiller, engine))

    def _deal_out(self, flight: Flight, encoders: Sequence[Server]) -> None:
        """Each image once, to all that the picker named in turn."""
        images = {image.key: image for _, image in flight.request.images}
        for image, server in zip(images.values(), cycle(encoders), strict=False):
            part = FleetRequest((image,), 1)
            part.encode_only = True
            flight.encodes[part] = server

    def _encoded(self, flight: Flight, part: FleetRequest) -> None:
        """The embeddings go to whoever computes the prompt, which begins when all are there."""
        prompt = flight.prefill or flight.request
        to = flight.where(prompt)
        server = flight.encodes.pop(part)
        assert to is not None
        size = part.prompt_tokens * PROFILES[server.profile].embedding_token_bytes
        arrived = self._links.send((server.number, to.number), size, self._run.now)
        flight.encoded_at = max(flight.encoded_at, arrived)
        if not flight.encodes:
            prompt.encoded = True
            over = self._run.deliver if flight.prefill is None else self._ask_prefiller
            self._run.at(flight.encoded_at, over, flight)

    def _ask_prefiller(self, flight: Flight) -> None:
        assert flight.prefill is not None
        assert flight.prefiller is not None
        flight.prefill_engine = flight.prefiller.engine
        self._run.submit(flight, flight.prefill)

    def _prefilled(self, flight: Flight) -> None:
        """Keys and values follow, of what the server that answers has not cached."""
        server, prefiller = flight.server, flight.prefiller
        assert server is not None
        assert prefiller is not None
        request = flight.request
        missing = request.prompt_tokens - server.engine.cached_tokens(request)
        size = missing * PROFILES[prefiller.profile].kv_cache_token_bytes
        request.received_tokens = request.prompt_tokens
        arrived = self._links.send((prefiller.number, server.number), size, self._run.now)
        self._run.at(arrived, self._run.deliver, flight)
