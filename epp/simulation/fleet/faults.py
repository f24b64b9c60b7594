"""What goes wrong in a run, and when."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

Kind = Literal["slow", "crash", "cold", "remove", "add", "blind"]
KINDS: tuple[str, ...] = get_args(Kind)


@dataclass(frozen=True, slots=True)
class Fault:
    """At a moment, to one server.

    `slow`: every step takes `value` times as long, 1 heals. `crash`: its requests are lost, and it
    is back with an empty cache after `value` seconds. `cold`: it loses its cache, as by a restart
    between requests that nobody noticed. `remove` and `add`: it leaves or joins the pool (one
    that `add` comes to first is not there before). `blind`: its scrapes fail for `value` seconds.
    """

    at_seconds: float
    kind: Kind
    server: int
    value: float = 1.0


def parse_fault(text: str) -> Fault:
    """`slow:0@30=5`: kind, number of the server, when, value. Raises ValueError."""
    head, _, value = text.partition("=")
    kind, _, rest = head.partition(":")
    server, _, at = rest.partition("@")
    if kind not in KINDS:
        raise ValueError(f"fault {text!r}: {kind!r} is none of {', '.join(KINDS)}")
    try:
        fault = Fault(float(at or 0), kind, int(server), float(value or 1))  # type: ignore[arg-type]
    except ValueError:
        raise ValueError(f"fault {text!r} is not of the form slow:0@30=5") from None
    if fault.at_seconds < 0 or fault.server < 0 or fault.value <= 0:
        raise ValueError(f"fault {text!r}: numbers below 0, or a value of 0")
    return fault


def late_servers(faults: Iterable[Fault]) -> set[int]:
    """Those that are not in the pool at the start: what happens to them first is `add`."""
    first: dict[int, Fault] = {}
    for fault in faults:
        if fault.kind in ("add", "remove"):
            before = first.get(fault.server)
            if before is None or fault.at_seconds < before.at_seconds:
                first[fault.server] = fault
    return {server for server, fault in first.items() if fault.kind == "add"}
