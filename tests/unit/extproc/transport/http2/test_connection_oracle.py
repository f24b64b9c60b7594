"""hyper-h2 is the client: it raises when we break HTTP/2, windows and frame sizes included."""

from __future__ import annotations

import random
from dataclasses import dataclass

import pytest
from h2.settings import SettingCodes
from hypothesis import given, settings
from hypothesis import strategies as st

from epp.extproc.transport.http2.settings import Limits
from tests.helpers.http2 import Call, Client, EchoSession, Served, framed

ROUNDS = 200
SIZES = st.one_of(
    st.sampled_from([0, 1, 4090, 4091, 4092, 16_379, 16_380, 16_384, 65_530, 65_535]),
    st.integers(0, 300),
    st.integers(0, 200_000),
)
WINDOWS = st.one_of(st.integers(1, 20), st.sampled_from([0, 4096, 65_535]), st.integers(1, 1 << 20))
FRAME_BYTES = st.sampled_from([16_384, 16_385, 40_000, 1 << 20])


@dataclass
class Plan:
    calls: list[list[int]]  # sizes of messages
    windows: list[int]  # of the client, one after the other
    frame_bytes: list[int]
    chunk: int  # the most that the server reads at once
    stream_window: int
    max_unsent: int
    cancels: bool
    pauses: bool
    seed: int


PLANS = st.builds(
    Plan,
    calls=st.lists(st.lists(SIZES, max_size=4), min_size=1, max_size=5),
    windows=st.lists(WINDOWS, max_size=4),
    frame_bytes=st.lists(FRAME_BYTES, max_size=2),
    chunk=st.sampled_from([1, 7, 100, 5000, 70_000]),
    stream_window=st.sampled_from([65_535, 100_000, 1 << 20]),
    max_unsent=st.sampled_from([1, 5000, 1 << 20]),
    cancels=st.booleans(),
    pauses=st.booleans(),
    seed=st.integers(0, 1 << 30),
)


class Conversation:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.random = random.Random(plan.seed)
        self.served = Served(
            EchoSession,
            Limits(
                stream_window_bytes=plan.stream_window,
                connection_window_bytes=200_000,
                max_unsent_bytes=plan.max_unsent,
                control_burst=1_000_000,
            ),
        )
        self.client = Client(self.served)
        self.wanted: dict[int, list[bytes]] = {}
        self.windows = list(plan.windows)
        self.frame_bytes = list(plan.frame_bytes)

    def step(self) -> None:
        match self.random.randrange(12):
            case 0 | 1 | 2:
                self._set_up()
            case 3 if self.plan.pauses:
                self._pause_or_resume()
            case 4 | 5 | 6 | 7 | 8:
                if (call := self._any_call()) is not None:
                    self._use(call)
            case 9 | 10:
                self.client.to_server(self.random.randint(1, self.plan.chunk))
            case _:
                self.client.to_client(self.random.choice((1, 20, 100_000)))

    def _set_up(self) -> None:
        client, action = self.client, self.random.randrange(3)
        if action == 0 and self.windows:
            if client.announce(SettingCodes.INITIAL_WINDOW_SIZE, self.windows[0]):
                del self.windows[0]
        elif action == 1 and self.frame_bytes:
            if client.announce(SettingCodes.MAX_FRAME_SIZE, self.frame_bytes[0]):
                del self.frame_bytes[0]
        elif len(self.wanted) < len(self.plan.calls):
            self._open(self.plan.calls[len(self.wanted)])

    def _use(self, call: Call) -> None:
        action = self.random.randrange(25)
        if action == 0 and self.plan.cancels:
            self.client.cancel(call)
        elif action < 12:
            self.client.acknowledge(call)
        else:
            self.client.write(call, self.random.choice((1, 5, 1000, 100_000)))

    def finish(self) -> None:
        """A client that reads all and opens its windows."""
        while len(self.wanted) < len(self.plan.calls):
            self._open(self.plan.calls[len(self.wanted)])
        self.served.connection.sender.resume()
        self.client.settle(max(self.plan.chunk, 3000))
        assert self.client.announce(SettingCodes.INITIAL_WINDOW_SIZE, 1 << 20)
        for _ in range(1000):
            for call in self.client.calls.values():
                self.client.write(call, 1 << 20)
                self.client.acknowledge(call)
            self.client.settle(max(self.plan.chunk, 3000))
            if all(call.over for call in self.client.calls.values()):
                return
        pytest.fail("a call does not come to its end")

    def _open(self, sizes: list[int]) -> None:
        call = self.client.open()
        messages = [self.random.randbytes(size) for size in sizes]
        self.wanted[call.id] = messages
        call.unsent = b"".join(map(framed, messages))

    def _any_call(self) -> Call | None:
        calls = list(self.client.calls.values())
        return self.random.choice(calls) if calls else None

    def _pause_or_resume(self) -> None:
        sender = self.served.connection.sender
        if sender.paused:
            sender.resume()
        else:
            sender.paused = True


@settings(max_examples=60, deadline=None)
@given(PLANS)
def test_every_message_comes_back_within_windows_and_frame_sizes(plan: Plan) -> None:
    conversation = Conversation(plan)
    for _ in range(ROUNDS):
        conversation.step()
    conversation.finish()
    check(conversation)


@settings(max_examples=25, deadline=None)
@given(window=st.integers(1, 12), sizes=st.lists(st.integers(0, 300), min_size=1, max_size=4))
def test_a_window_of_a_few_bytes_is_enough(window: int, sizes: list[int]) -> None:
    plan = Plan([sizes, sizes], [], [], 50, 65_535, 1 << 20, False, False, 1)
    conversation = Conversation(plan)
    client = conversation.client
    assert client.announce(SettingCodes.INITIAL_WINDOW_SIZE, window)
    client.settle()
    for sizes_of_call in plan.calls:
        conversation._open(sizes_of_call)
    while not all(call.over for call in client.calls.values()):
        for call in client.calls.values():
            client.write(call, 100)
            client.acknowledge(call)
        client.settle()
    check(conversation)


def check(conversation: Conversation) -> None:
    served, calls = conversation.served, conversation.client.calls.values()
    assert len(served.sessions) == len(calls)
    for call, session in zip(calls, served.sessions, strict=True):
        wanted = conversation.wanted[call.id]
        if call.cancelled:
            assert session.messages == wanted[: len(session.messages)]
            assert call.messages == wanted[: len(call.messages)]
        else:
            assert call.reset_code is None
            assert session.messages == wanted
            assert call.messages == wanted
            assert call.answer == b"".join(map(framed, wanted))
            assert call.trailers is not None
            assert call.trailers["grpc-status"] == "0"
            assert session.half_closed_count == 1
        assert session.closed_count == 1
    assert not served.connection.closing
    assert not served.connection.calls.streams
    assert not served.connection.sender.blocked


def test_the_connection_window_is_shared_and_bounds_all() -> None:
    served = Served()
    client = Client(served)
    assert client.announce(SettingCodes.INITIAL_WINDOW_SIZE, 1 << 20)
    client.settle()
    calls = [client.open() for _ in range(3)]
    for call in calls:
        call.unsent = framed(bytes(50_000))
        while not call.sent_end:
            client.write(call, 1 << 20)
    client.settle()
    assert sum(len(call.answer) for call in calls) == 65_535
    assert served.connection.sender.window == 0
    while not all(call.over for call in calls):
        for call in calls:
            client.acknowledge(call)
        client.settle()
    assert all(call.messages == [bytes(50_000)] for call in calls)
    assert not served.connection.sender.blocked
