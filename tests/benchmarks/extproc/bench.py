"""Measure an endpoint picker: cost per request, idle cost, highest rate. See README.md.

One JSON line per cell goes to --out; a line is what `drive` printed plus "cell" and "target".
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import signal
import socket
import string
import subprocess
import sys
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
SIM_PORT = 18000


def wait_port(port: int, proc: subprocess.Popen[bytes], limit: float = 30) -> None:
    end = time.monotonic() + limit
    while time.monotonic() < end:
        if proc.poll() is not None:
            sys.exit(f"process ended with {proc.returncode} before port {port} opened")
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
            return
        except OSError:
            time.sleep(0.1)
    sys.exit(f"port {port} did not open")


def stop(proc: subprocess.Popen[bytes] | None) -> None:
    if proc is None or proc.poll() is not None:
        return
    proc.send_signal(signal.SIGTERM)
    try:
        proc.wait(3)
    except subprocess.TimeoutExpired:
        proc.kill()
        proc.wait()


def tree(pid: int) -> list[int]:
    parents: dict[int, list[int]] = {}
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text()
        except OSError:
            continue
        parents.setdefault(int(text[text.rindex(")") + 1 :].split()[1]), []).append(
            int(stat.parent.name)
        )
    out = [pid]
    for p in out:
        out += parents.get(p, [])
    return out


def cpu(pid: int) -> float:
    total = 0
    for p in tree(pid):
        try:
            text = pathlib.Path(f"/proc/{p}/stat").read_text()
        except OSError:
            continue
        f = text[text.rindex(")") + 1 :].split()
        total += int(f[11]) + int(f[12])
    return total / os.sysconf("SC_CLK_TCK")


def rss(pid: int) -> float:
    total = 0
    for p in tree(pid):
        try:
            for line in pathlib.Path(f"/proc/{p}/status").read_text().splitlines():
                if line.startswith("VmRSS:"):
                    total += int(line.split()[1])
        except OSError:
            continue
    return round(total / 1024, 1)


class Bench:
    def __init__(self, a: argparse.Namespace) -> None:
        self.a = a
        self.work = pathlib.Path(a.work)
        self.work.mkdir(parents=True, exist_ok=True)
        self.sim: subprocess.Popen[bytes] | None = None
        self.epp: subprocess.Popen[bytes] | None = None
        self.n = 0

    def servers(self, n: int, *extra: str) -> None:
        stop(self.sim)
        self.n = n
        log = open(self.work / "sim.log", "wb")
        self.sim = subprocess.Popen(
            [
                "taskset",
                "-c",
                self.a.other_core,
                f"{self.a.bin}/simpool",
                "-n",
                str(n),
                "-port",
                str(SIM_PORT),
                "-page",
                self.a.page,
                "-jitter-gauges",
                "-write-endpoints",
                str(self.work / "endpoints.yaml"),
                *extra,
            ],
            stdout=log,
            stderr=log,
        )
        end = time.monotonic() + 20
        while time.monotonic() < end:
            try:
                self.sim_stats()
                return
            except OSError:
                time.sleep(0.1)
        sys.exit("simulated servers did not start")

    def sim_stats(self) -> dict:
        with urllib.request.urlopen(f"http://127.1.0.1:{SIM_PORT}/sim/stats", timeout=5) as r:
            return json.load(r)

    def picker(self, **values: str) -> int:
        stop(self.epp)
        env = {
            "ENDPOINTS": str(self.work / "endpoints.yaml"),
            "PORT": str(self.a.port),
            "WORK": str(self.work),
            "N": str(self.n),
            **values,
        }
        if self.a.config:
            text = string.Template(pathlib.Path(self.a.config).read_text()).safe_substitute(env)
            (self.work / "config.yaml").write_text(text)
            env["CONFIG"] = str(self.work / "config.yaml")
        cmd = string.Template(self.a.cmd).safe_substitute({**os.environ, **env})
        log = open(self.work / "epp.log", "wb")
        self.epp = subprocess.Popen(
            ["taskset", "-c", self.a.epp_core, "sh", "-c", "exec " + cmd], stdout=log, stderr=log
        )
        wait_port(self.a.port, self.epp)
        time.sleep(self.a.settle)
        return self.epp.pid

    def drive(self, cell: str, *args: str) -> dict:
        cmd = [
            "taskset",
            "-c",
            self.a.other_core,
            f"{self.a.bin}/drive",
            "-target",
            f"127.0.0.1:{self.a.port}",
            "-pid",
            str(self.epp.pid),
            "-n",
            str(self.n),
            "-label",
            self.a.name,
            *self.a.drive.split(),
            *args,
        ]
        p = subprocess.run(cmd, stdout=subprocess.PIPE, timeout=400)
        try:
            row = json.loads(p.stdout)
        except json.JSONDecodeError:
            row = {"failed": p.returncode, "stdout": p.stdout.decode()[-300:]}
        return self.save(cell, row)

    def save(self, cell: str, row: dict) -> dict:
        row = {"target": self.a.name, "cell": cell, "load1": os.getloadavg()[0], **row}
        with open(self.a.out, "a") as f:
            f.write(json.dumps(row) + "\n")
        keys = (
            "cpu_us_per_req_net",
            "cpu_us_per_req",
            "sent",
            "errors",
            "rps",
            "pick_ms",
            "cpu_cores",
            "rss_peak_mib",
            "error_kinds",
            "refused",
            "warm_up_failures",
            "failed",
            "idle_cores",
            "us_per_scrape",
            "scrapes_per_s",
            "driver_cores",
        )
        print(self.a.name, cell, {k: row[k] for k in keys if k in row}, flush=True)
        return row

    def requests(self) -> None:
        """Cost per request at a modest fixed rate, prompt size x streamed chunks."""
        self.servers(10)
        for chars in self.a.chars:
            for chunks in self.a.chunks:
                rate = {0: 100.0, 100: 15.0, 1000: 3.0}.get(chunks, 10.0)
                if chars >= 100_000:
                    rate = {0: 15.0, 100: 8.0, 1000: 2.0}.get(chunks, 4.0)
                self.picker()
                cell = (
                    f"req/{chars}/{chunks}"
                    if self.a.rate_x == 1
                    else f"req-x{self.a.rate_x:g}/{chars}/{chunks}"
                )
                self.drive(
                    cell,
                    "-chars",
                    str(chars),
                    "-chunks",
                    str(chunks),
                    "-rate",
                    str(rate * self.a.rate_x),
                    "-gap-ms",
                    "5" if chunks else "0",
                    "-seconds",
                    str(self.a.seconds),
                    "-baseline",
                    "3",
                    "-warm",
                    "8" if chunks < 1000 else "2",
                    "-distinct",
                    "16" if chars >= 100_000 else "64",
                )

    def highest(self) -> None:
        """Closed loop, picker on one core."""
        self.servers(10)
        for chars in self.a.chars:
            for chunks in self.a.chunks:
                if chunks > 100:
                    continue
                self.picker()
                self.drive(
                    f"max/{chars}/{chunks}",
                    "-chars",
                    str(chars),
                    "-chunks",
                    str(chunks),
                    "-c",
                    "32" if chars < 100_000 else "8",
                    "-seconds",
                    str(self.a.max_seconds),
                    "-warm",
                    "8",
                    "-distinct",
                    "16" if chars >= 100_000 else "64",
                )

    def light(self) -> None:
        """Closed loop, BUFFERED request and no response body, as our own Envoy configuration."""
        self.servers(10)
        self.picker()
        self.drive(
            "light/900/0",
            *("-mode", "buffered", "-resp", "none", "-chars", "900", "-c", "32"),
            *("-seconds", str(self.a.max_seconds), "-warm", "8", "-distinct", "64"),
        )

    def buffered(self) -> None:
        self.servers(10)
        self.picker()
        self.drive(
            "buffered/1000/0",
            "-mode",
            "buffered",
            "-resp",
            "none",
            "-rate",
            "20",
            "-seconds",
            "3",
            "-warm",
            "1",
            "-timeout",
            "3",
        )

    def idle(self) -> None:
        for n in self.a.sizes:
            self.servers(n)
            pid = self.picker()
            time.sleep(2)
            s0, c0, t0 = self.sim_stats()["scrapes"], cpu(pid), time.monotonic()
            q0 = cpu(self.sim.pid)
            time.sleep(self.a.idle_seconds)
            s1, c1, t1 = self.sim_stats()["scrapes"], cpu(pid), time.monotonic()
            q1 = cpu(self.sim.pid)
            self.save(
                f"idle/{n}",
                {
                    "idle_cores": round((c1 - c0) / (t1 - t0), 3),
                    "scrapes_per_s": round((s1 - s0) / (t1 - t0), 1),
                    "us_per_scrape": round((c1 - c0) * 1e6 / max(1, s1 - s0), 1),
                    "rss_mib": rss(pid),
                    "sim_cores": round((q1 - q0) / (t1 - t0), 3),
                },
            )
            self.drive(
                f"idle-pick/{n}", "-rate", "20", "-seconds", "6", "-baseline", "2", "-warm", "5"
            )

    def run(self) -> None:
        try:
            for cell in self.a.cells:
                {
                    "requests": self.requests,
                    "max": self.highest,
                    "idle": self.idle,
                    "buffered": self.buffered,
                    "light": self.light,
                }[cell]()
        finally:
            stop(self.epp)
            stop(self.sim)


def main() -> None:
    ints = lambda s: [int(x) for x in s.split(",")]  # noqa: E731
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--name", required=True, help="name of the target in the results")
    p.add_argument(
        "--cmd",
        required=True,
        help="shell command of the picker; $PORT $ENDPOINTS $CONFIG $WORK $N are replaced",
    )
    p.add_argument(
        "--config",
        help="configuration template; $ENDPOINTS $PORT $N are replaced, the result is $CONFIG",
    )
    p.add_argument("--cells", default="requests,max,idle", type=lambda s: s.split(","))
    p.add_argument("--chars", default="900,10000,400000", type=ints)
    p.add_argument("--chunks", default="0,100,1000", type=ints)
    p.add_argument("--sizes", default="10,100", type=ints, help="pool sizes of the idle cell")
    p.add_argument("--seconds", default=8, type=float)
    p.add_argument("--rate-x", default=1, type=float, help="times the rates of the requests cell")
    p.add_argument("--max-seconds", default=6, type=float)
    p.add_argument("--idle-seconds", default=8, type=float)
    p.add_argument(
        "--settle", default=1.5, type=float, help="seconds between the port opening and the load"
    )
    p.add_argument("--port", default=19002, type=int)
    p.add_argument("--epp-core", default="0")
    p.add_argument("--other-core", default="1")
    p.add_argument("--drive", default="", help="more flags for drive")
    p.add_argument("--page", default=str(HERE / "../../fixtures/vllm-0.32/metrics-plain.txt"))
    p.add_argument(
        "--bin",
        default=os.environ.get("PEER_BIN", "bin"),
        help="folder with drive and simpool (env PEER_BIN)",
    )
    p.add_argument(
        "--work", default=os.environ.get("PEER_WORK", "work"), help="scratch folder (env PEER_WORK)"
    )
    p.add_argument("--out", default="results.jsonl")
    Bench(p.parse_args()).run()


if __name__ == "__main__":
    main()
