"""Whether one more may wait, and who has to go for it."""

from __future__ import annotations

from epp.core.request import RequestFacts
from epp.flowcontrol.settings import FlowControlSettings
from epp.flowcontrol.waiting_room import WaitingRoom


def is_full_for(facts: RequestFacts, settings: FlowControlSettings, room: WaitingRoom) -> bool:
    """Even if all of lower priority went, where the limit over all priorities is the reason."""
    band = settings.band(facts.priority)
    requests, size = room.band_size(facts.priority)
    if requests + 1 > band.max_requests or size + facts.size_bytes > band.max_bytes:
        return True
    too_many, too_large = _too_much_with(facts, settings, room)
    if not too_many and not too_large:
        return False
    lower, lower_bytes = room.waiting_below(facts.priority)
    return too_many > lower or too_large > lower_bytes


def make_room_for(
    facts: RequestFacts, settings: FlowControlSettings, room: WaitingRoom
) -> list[RequestFacts]:
    """Takes out who came last at the lowest priority. The room is not full for the request."""
    displaced: list[RequestFacts] = []
    too_many, too_large = _too_much_with(facts, settings, room)
    while too_many > 0 or too_large > 0:
        last = room.last_of_lowest()
        room.leave(last)
        displaced.append(last)
        too_many, too_large = too_many - 1, too_large - last.size_bytes
    return displaced


def _too_much_with(
    facts: RequestFacts, settings: FlowControlSettings, room: WaitingRoom
) -> tuple[int, int]:
    """Requests and bytes that would have to go for one more, at most as many as it brings.

    For who waits already stays, also where the limits over all priorities have become lower.
    """
    size, too_many, too_large = facts.size_bytes, 0, 0
    if settings.max_requests and len(room) + 1 > settings.max_requests:
        too_many = 1
    if settings.max_bytes:
        too_large = min(size, max(0, room.bytes + size - settings.max_bytes))
    return too_many, too_large
