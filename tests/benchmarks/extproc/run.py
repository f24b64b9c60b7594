"""Measure the picker next to `nullepp` in one run, and print what a request costs: `make bench`.

CPU time is that of the whole process tree, user and system, charged per request at saturation.
Every cell runs `--repeats` times, the two in turn, and the median counts: machines drift.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
PAGE = ROOT / "tests/fixtures/vllm-0.32/metrics-plain.txt"
FLOOR = "nullepp"

CONFIG = """\
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins:
- {type: file-discovery, name: endpoints, parameters: {path: $ENDPOINTS}}
- {type: queue-scorer}
- {type: kv-cache-utilization-scorer}
- {type: prefix-cache-scorer}
dataLayer: {discovery: {pluginRef: endpoints}}
schedulingProfiles:
- name: default
  plugins:
  - {pluginRef: queue-scorer, weight: 2}
  - {pluginRef: kv-cache-utilization-scorer, weight: 2}
  - {pluginRef: prefix-cache-scorer, weight: 3}
"""


def build(target: Path) -> None:
    if shutil.which("go") is None:
        sys.exit("the benchmark's driver is written in Go, and there is no `go` on the path")
    target.mkdir(parents=True, exist_ok=True)
    subprocess.run(["go", "build", "-o", f"{target}/", "./cmd/..."], cwd=HERE, check=True)


def measure(name: str, command: str, cells: str, arguments: argparse.Namespace) -> None:
    work = ROOT / "build/bench"
    flags = [
        *("--name", name, "--cmd", command, "--cells", cells, "--bin", str(work / "bin")),
        *("--work", str(work / "work"), "--out", str(arguments.out), "--page", str(PAGE)),
        *("--chars", "900,10000,400000", "--chunks", "0,100"),
        *("--max-seconds", str(arguments.seconds), "--sizes", "10,100"),
    ]
    if name != FLOOR:
        flags += ["--config", str(work / "config.yaml")]
    if (os.cpu_count() or 1) < 2:
        flags += ["--epp-core", "0", "--other-core", "0"]
    subprocess.run([sys.executable, str(HERE / "bench.py"), *flags], check=True)


def table(out: Path) -> str:
    """Rows of cells: cost of each target, and the multiple of the floor in the same run."""
    found: dict[str, dict[str, list[float]]] = {}
    idle: list[str] = []
    for line in out.read_text().splitlines():
        row = json.loads(line)
        if row["cell"].startswith("idle/"):
            idle.append(
                f"| {row['cell']} | {row['idle_cores']} core, "
                f"{row['us_per_scrape']} us a scrape, {row['rss_mib']} MiB |"
            )
        elif "cpu_us_per_req" in row and row.get("errors") == 0:
            cell = found.setdefault(row["cell"], {})
            cell.setdefault(row["target"], []).append(row["cpu_us_per_req"])
    lines = ["| Cell (characters / chunks) | nullepp (Go) | epp | multiple |", "|---|---|---|---|"]
    floor_of_short = statistics.median(found["max/900/0"][FLOOR])
    for cell, targets in found.items():
        ours = statistics.median(targets["epp"])
        floor = statistics.median(targets[FLOOR]) if FLOOR in targets else floor_of_short
        lines.append(f"| {cell} | {floor:.0f} us | {ours:.0f} us | {ours / floor:.1f} x |")
    return "\n".join([*lines, "", "| Idle | |", "|---|---|", *idle])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "build/bench.jsonl")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--quick", action="store_true", help="one short repeat, no idle cells")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.repeats, arguments.seconds = 1, 2.0
    work = ROOT / "build/bench"
    build(work / "bin")
    (work / "config.yaml").write_text(CONFIG)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.unlink(missing_ok=True)
    ours = (
        f"{sys.executable} -m epp --config-file $CONFIG --host 127.0.0.1 --grpc-port $PORT "
        "--grpc-health-port 19003 --metrics-port 19090 --secure-serving=false "
        "--refresh-metrics-interval "
    )
    floor = f"{work}/bin/nullepp -listen 127.0.0.1:$PORT"
    for _ in range(arguments.repeats):
        measure(FLOOR, floor, "max", arguments)
        measure("epp", f"{ours} 1s", "max,light", arguments)
    if not arguments.quick:
        measure("epp", f"{ours} 50ms", "idle", arguments)
    print(table(arguments.out))


if __name__ == "__main__":
    main()
