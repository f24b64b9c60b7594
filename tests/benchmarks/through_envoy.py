"""Thousands of streamed answers at once through a real Envoy: that none fails, and what they cost.

Needs Go. The exit status is 1 if anything at all went wrong.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace

from epp.envoyconfig.settings import Mode
from tests.helpers.crowd import GOLANG, Crowd, Facts, build_programs, let_in

CROWDS = {
    # 20 000 chunks a second: more, and Envoy begins to join chunks on two cores.
    "full": Crowd(Mode.FULL, answers=2000, chunks=500, gap_ms=100, held_seconds=4),
    # Under a limit of 20 000 open files Envoy cannot have 10 000 connections on both sides. They end
    # within one gap, 5000 a second: a picker that has less than half a core falls behind with more.
    "light": Crowd(
        Mode.LIGHT,
        answers=10_000,
        chunks=10,
        gap_ms=2000,
        ramp_seconds=10,
        sharing=100,
        servers=20,
        held_seconds=4,
    ),
}


def rows(crowd: Crowd, facts: Facts) -> dict[str, str]:
    begin, held, end = facts.begin, facts.held, facts.end
    shown = {
        "answers, whole / open at once": f"{facts.ok} / {facts.at_once}",
        "chunks of them": f"{facts.ok * crowd.chunks}",
        "ext-proc messages: begin, to the end": f"{begin.messages}, {end.messages}",
        "faults": f"{len(facts.faults)}",
        "seconds: begin, held, to the end": f"{begin.seconds:.1f}, {held.seconds:.1f}, {end.seconds:.1f}",
        "ms to the headers of the answer, p50 / p99": f"{facts.headers_ms.get('p50', 0):.0f} / {facts.headers_ms.get('p99', 0):.0f}",
        "CPU seconds: picker, Envoy": f"{begin.picker_cpu + end.picker_cpu:.1f}, {begin.envoy_cpu + end.envoy_cpu:.1f}",
        "picker's cores: begin, held, to the end": ", ".join(
            f"{phase.picker_cpu / (phase.seconds or 1):.2f}" for phase in (begin, held, end)
        ),
    }
    if crowd.mode is Mode.FULL:
        shown["picker's CPU: begin, µs a request"] = _micro(begin.beyond(held), crowd.answers)
        # Envoy joins chunks that it reads together into one message.
        shown["picker's CPU: to the end, µs a message"] = _micro(end.beyond(held), end.messages)
        shown["Envoy's CPU: to the end, µs a message"] = _micro(end.envoy_cpu, end.messages)
    else:
        used = begin.beyond(held) + end.beyond(held)
        shown["picker's CPU, µs a request"] = _micro(used, crowd.answers)
        shown["access log entries that Envoy dropped"] = f"{facts.lost_entries}"
    growth = facts.rss_held - facts.rss_before
    shown["picker's memory, MiB: before, held, peak"] = ", ".join(
        f"{kib / 1024:.0f}" for kib in (facts.rss_before, facts.rss_held, facts.rss_peak)
    )
    shown["picker's memory, KiB an open answer"] = f"{growth / (facts.at_once or 1):.1f}"
    return shown


def _micro(seconds: float, count: int) -> str:
    return f"{seconds * 1e6 / (count or 1):.1f}"


def show(name: str, crowd: Crowd, facts: Facts) -> None:
    print(f"| {name} mode | |\n|---|---|")
    for what, value in rows(crowd, facts).items():
        print(f"| {what} | {value} |")
    print(*(f"FAULT {fault}" for fault in facts.faults), "", sep="\n", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("crowds", nargs="*", metavar="MODE", help="full, light; both")
    parser.add_argument("--answers", type=int, help="clients, one answer each")
    parser.add_argument("--chunks", type=int, help="of an answer")
    parser.add_argument("--gap-ms", type=float, help="between chunks")
    parser.add_argument("--ramp-seconds", type=float, help="over which clients come; 0: together")
    parser.add_argument("--servers", type=int)
    parser.add_argument("--workers", type=int, help="threads of Envoy")
    given = {name: value for name, value in vars(parser.parse_args()).items() if value is not None}
    names = given.pop("crowds") or list(CROWDS)
    if unknown := set(names) - set(CROWDS):
        parser.error(f"no mode {', '.join(unknown)}")
    if GOLANG is None:
        sys.exit("Clients and servers are written in Go, and there is no `go` on the path.")
    build_programs()
    failed = False
    for name in names:
        crowd = replace(CROWDS[name], **given)
        facts = let_in(crowd)
        show(name, crowd, facts)
        failed = failed or bool(facts.faults)
    sys.exit(failed)


if __name__ == "__main__":
    main()
