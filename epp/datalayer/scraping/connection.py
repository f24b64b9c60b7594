"""One keep-alive HTTP connection to a model server: a request out, a response or a problem back."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from epp.datalayer.scraping.http_response import (
    MalformedResponse,
    Response,
    ResponseReader,
    ResponseTooLarge,
)
from epp.datalayer.scraping.outcome import Failure

_NO_WAY = frozenset((errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN))


@dataclass(frozen=True, slots=True)
class Problem:
    failure: Failure
    detail: str


class Connection(asyncio.Protocol):
    """`ended` is called once for each `get`; `lost` when the server closes between two of them.

    After a problem, `lost` or `abort` the connection is of no more use and calls nobody.
    """

    def __init__(
        self,
        max_page_bytes: int,
        ended: Callable[[Response | Problem], None],
        lost: Callable[[], None],
    ) -> None:
        self.answers = 0  # responses so far
        self.silent = True  # nothing has come since the last `get`
        self._max_page_bytes = max_page_bytes
        self._ended = ended
        self._lost = lost
        self._transport: asyncio.Transport | None = None
        self._reader: ResponseReader | None = None  # of the response that is waited for
        self._dead = False

    @property
    def usable(self) -> bool:
        return not self._dead

    def get(self, request: bytes) -> None:
        assert self._transport is not None
        assert self._reader is None
        self.silent = True
        self._reader = ResponseReader(self._max_page_bytes)
        self._transport.write(request)

    def abort(self) -> None:
        self._dead = True
        self._reader = None
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self._dead:
            return
        if self._reader is None:  # nobody asked for this
            self.abort()
            self._lost()
            return
        self.silent = False
        try:
            response = self._reader.feed(data)
        except ResponseTooLarge as error:
            self._fail(Failure.TOO_LARGE, str(error))
        except MalformedResponse as error:
            self._fail(Failure.MALFORMED, str(error))
        else:
            if response is not None:
                self._succeed(response)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._dead:
            return
        reader = self._reader
        if reader is None:
            self.abort()
            self._lost()
        elif exc is None and (response := reader.end()) is not None:
            self._succeed(response)
        else:
            self._fail(Failure.LOST, str(exc or "closed before the answer was complete"))

    def _succeed(self, response: Response) -> None:
        self._reader = None
        self.answers += 1
        if not response.keep_alive:
            self.abort()
        self._ended(response)

    def _fail(self, failure: Failure, detail: str) -> None:
        self.abort()
        self._ended(Problem(failure, detail))


def problem_of(error: OSError) -> Problem:
    """Why a connection could not be made."""
    if isinstance(error, ConnectionRefusedError):
        return Problem(Failure.REFUSED, str(error))
    if error.errno in _NO_WAY:
        return Problem(Failure.UNREACHABLE, str(error))
    return Problem(Failure.LOST, str(error))
