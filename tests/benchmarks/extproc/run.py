"""The picker on both transports, an echo on ours, and `nullepp`, in one run (`make bench`).

They take turns, every cell `--repeats` times, and the median counts: machines drift.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

from cells import CELLS, Bench, OutOfTimeError, Settings, Target
from processes import quoted
from table import FLOOR, read, tables

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
WORK = ROOT / "build/bench"
BINARIES = WORK / "bin"
PAGE = ROOT / "tests/fixtures/vllm-0.32/metrics-plain.txt"
PROGRAMS = ("drive", "simpool", "nullepp")

CONFIG = """\
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins:
- {type: file-discovery, name: file-discovery, parameters: {path: $ENDPOINTS}}
- {type: queue-scorer}
- {type: kv-cache-utilization-scorer}
- {type: prefix-cache-scorer}
dataLayer: {discovery: {pluginRef: file-discovery}}
schedulingProfiles:
- name: default
  plugins:
  - {pluginRef: queue-scorer, weight: 2}
  - {pluginRef: kv-cache-utilization-scorer, weight: 2}
  - {pluginRef: prefix-cache-scorer, weight: 3}
"""
OBJECTIVES = """\
routing:
  objectives:
  - {name: critical, priority: 100}
  - {name: standard, priority: 0}
  - {name: sheddable, priority: -1}
"""
DEFAULT_CONFIG = """\
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins:
- {type: file-discovery, name: file-discovery, parameters: {path: $ENDPOINTS}}
- {type: marginal-cost-scorer}
dataLayer: {discovery: {pluginRef: file-discovery}}
schedulingProfiles:
- name: default
  plugins:
  - {pluginRef: marginal-cost-scorer}
"""
PYTHON = ROOT / ".venv/bin/python"
ECHO_TARGET = Target(
    "echo on our transport",
    f"{quoted(PYTHON if PYTHON.exists() else sys.executable, HERE / 'echo.py')}"
    " --port $PORT --sim-port $SIM_PORT -n $N",
)
FLOOR_TARGET = Target(FLOOR, "$BIN/nullepp -listen 127.0.0.1:$PORT -sim-port $SIM_PORT -n $N")


def ours(scrape_interval: str, transport: str = "http2") -> Target:
    installed = ROOT / ".venv/bin/epp"
    program = [installed] if installed.exists() else [sys.executable, "-m", "epp"]
    command = (
        f"{quoted(*program)} --config-file $CONFIG --host 127.0.0.1 --grpc-port $PORT"
        " --grpc-health-port $HEALTH_PORT --metrics-port $METRICS_PORT --secure-serving=false"
        f" --metrics-endpoint-auth=false --refresh-metrics-interval {scrape_interval}"
        f" --transport {transport}"
    )
    return Target("epp" if transport == "http2" else f"epp on {transport}", command, CONFIG)


def deciding() -> tuple[Target, Target]:
    """With the default document, and with the three scorers of the other cells."""
    blend = ours("1s")
    return (
        replace(blend, name="epp, default", config=DEFAULT_CONFIG),
        replace(blend, name="epp, queue 2, KV cache 2, prefix 3"),
    )


def overloaded() -> Target:
    """Nothing set but what the objectives are."""
    return replace(ours("50ms"), name="epp, default", config=DEFAULT_CONFIG + OBJECTIVES)


def build() -> None:
    """Compile what is new. Without Go, binaries made earlier will do."""
    if shutil.which("go") is None:
        if all((BINARIES / program).exists() for program in PROGRAMS):
            return
        sys.exit(
            "The driver, the simulated servers and the floor are written in Go, and there is no"
            " `go` on the path. Install Go (go.dev/dl), or put drive, simpool and nullepp, built"
            f" elsewhere with `go build ./cmd/...`, into {BINARIES}."
        )
    BINARIES.mkdir(parents=True, exist_ok=True)
    command = ["go", "build", "-trimpath", "-o", f"{BINARIES}/", "./cmd/..."]
    environment = {"CGO_ENABLED": "0", **os.environ}
    if subprocess.run(command, cwd=HERE, env=environment, check=False, timeout=900).returncode:
        sys.exit("The Go programs of the benchmark do not build; see above.")


def integers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def cell_names(text: str) -> list[str]:
    names = text.split(",")
    unknown = sorted(set(names) - set(CELLS))
    if unknown:
        raise argparse.ArgumentTypeError(f"no cell {', '.join(unknown)}; there are {list(CELLS)}")
    return names


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, default=ROOT / "build/bench.jsonl", help="JSON lines")
    parser.add_argument("--cells", type=cell_names, help=f"of {','.join(CELLS)}")
    parser.add_argument("--chars", type=integers, default=(900, 10_000, 400_000), help="prompts")
    parser.add_argument("--chunks", type=integers, default=(0, 100), help="events of an answer")
    parser.add_argument(
        "--sizes", type=integers, help="pools of `idle` (10,100) and `endpoints` (10,100,1000)"
    )
    parser.add_argument("--seconds", type=float, help="of load, a cell (4)")
    parser.add_argument("--limit-minutes", type=float, default=30.0, help="start no cell later")
    parser.add_argument("--page", type=Path, default=PAGE, help="metrics page of the servers")


def settings_of(arguments: argparse.Namespace) -> Settings:
    return Settings(
        binaries=BINARIES,
        work=WORK / "work",
        page=arguments.page,
        out=arguments.out,
        deadline=time.monotonic() + 60 * arguments.limit_minutes,
        chars=arguments.chars,
        chunks=arguments.chunks,
        sizes=arguments.sizes or (),
        seconds=arguments.seconds or 4.0,
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_common_arguments(parser)
    parser.add_argument("--repeats", type=int, help="(3)")
    parser.add_argument(
        "--quick", action="store_true", help="unless said otherwise one repeat, 2 s, a pool of 10"
    )
    parser.add_argument(
        "--floor-only", action="store_true", help=f"{FLOOR} alone: what this machine can do"
    )


def side_by_side(arguments: argparse.Namespace) -> None:
    if arguments.quick:
        arguments.repeats = arguments.repeats or 1
        arguments.seconds = arguments.seconds or 2.0
        arguments.sizes = arguments.sizes or (10,)
    names = arguments.cells or ["max", "light", "idle"]
    build()
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.unlink(missing_ok=True)
    settings = settings_of(arguments)
    loaded = [name for name in names if name not in ("idle", "endpoints", "overload")]
    try:
        for repeat in range(arguments.repeats or 3):
            for target in (FLOOR_TARGET, ECHO_TARGET, ours("1s"), ours("1s", "grpcio")):
                if target is FLOOR_TARGET or not arguments.floor_only:
                    Bench(settings, target, repeat).run(loaded)
            if "endpoints" in names and not arguments.floor_only:
                for target in deciding():
                    Bench(settings, target, repeat).run(["endpoints"])
            if "overload" in names and not arguments.floor_only:
                Bench(settings, overloaded(), repeat).run(["overload"])
        if "idle" in names and not arguments.floor_only:
            Bench(settings, ours("50ms")).run(["idle"])
        complete = True
    except OutOfTimeError:
        complete = False
    if arguments.out.exists():
        print(tables(read([arguments.out])))
    if not complete:
        sys.exit(f"stopped after {arguments.limit_minutes:g} minutes: cells are missing")
