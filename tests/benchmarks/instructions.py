"""Instructions a request takes in our own code: a figure that repeats, so that a regression shows.

Without sockets; with HTTP/2 where a case says so.

Counted by valgrind, as the difference between many requests and few, which leaves the start out.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from bench_session import a_board, conversation, play, play_on_http2

CASES = {
    "full, 900 characters": (900, 0, False),
    "light, 900 characters": (900, 0, True),
    "full, 900 characters, 100 chunks": (900, 100, False),
    "full, 10 000 characters": (10_000, 0, False),
    "full, 100 000 characters": (100_000, 0, False),
}
HTTP2 = "with HTTP/2"
CASES |= {f"{case}, {HTTP2}": CASES[case] for case in list(CASES)[:3]}
FEW, MANY = 20, 120


async def run(case: str, requests: int) -> None:
    characters, chunks, light = CASES[case]
    with a_board(endpoints=10) as board:
        gc.collect()
        gc.freeze()  # as the picker does when it is ready
        exchange = play_on_http2 if case.endswith(HTTP2) else play
        exchange(board, conversation(characters, chunks, light=light), requests)


def count(case: str, requests: int) -> int:
    """Instructions of a whole process that serves so many requests."""
    command = ["valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]
    command += [sys.executable, __file__, "--run", case, "--requests", str(requests)]
    environment = {
        **os.environ,
        "PYTHONHASHSEED": "0",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    result = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    found = re.search(r"I\s+refs:\s+([\d,]+)", result.stderr)
    if result.returncode or found is None:
        sys.exit(f"valgrind failed:\n{result.stderr[-2000:]}")
    return int(found.group(1).replace(",", ""))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="cases whose name has this in it")
    parser.add_argument("--run", choices=CASES, help="run one here, uncounted")
    parser.add_argument("--requests", type=int, default=MANY)
    arguments = parser.parse_args()
    if arguments.run:
        asyncio.run(run(arguments.run, arguments.requests))
        return
    if shutil.which("valgrind") is None:
        sys.exit("valgrind is not installed: no instructions are counted")
    for case in CASES:
        if arguments.only in case:
            each = (count(case, MANY) - count(case, FEW)) / (MANY - FEW)
            print(f"{case:48} {each / 1000:8.0f} thousand instructions a request", flush=True)


if __name__ == "__main__":
    main()
