#!/usr/bin/env python3
"""Prove on a live cluster that two pools are routed by model and that priorities hold.

Asks the gateway with bodies alone, and believes the request log of the pickers, not the answers:
which picker decided, and with which priority. Needs Python 3.9 and kubectl, nothing else.
Exit status: 0 all proven, 1 something is wrong, 3 the pool never was full, so order was not seen.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass

POOLS = {
    "reasoning": ("reasoning", "reasoning-support", "reasoning-audit"),
    "governance": ("governance",),
}
PRIORITY = {"reasoning": 0, "reasoning-support": 0, "reasoning-audit": 100, "governance": 100}
OBJECTIVE_HEADERS = ("x-llm-d-inference-objective", "x-gateway-inference-objective")
LOG_SECONDS = 30.0  # until a request stands in the log


@dataclass(frozen=True)
class Line:
    """One request as a picker logged it."""

    pool: str
    model: str
    priority: int
    waited_ms: float
    status: int


class Gateway:
    def __init__(self, url: str, send_model_header: bool, timeout_seconds: float) -> None:
        self._url = url.rstrip("/") + "/v1/chat/completions"
        self._send_model_header = send_model_header
        self._timeout_seconds = timeout_seconds

    def ask(self, model: str, prompt: str, tokens: int, claim: str = "") -> int:
        """Status of the answer; 0 if there was none. `claim`: an objective that a client names."""
        message = {"role": "user", "content": prompt}
        body = {"model": model, "max_tokens": tokens, "messages": [message]}
        headers = {"Content-Type": "application/json"}
        if self._send_model_header:
            headers["X-Gateway-Model-Name"] = model
        for name in OBJECTIVE_HEADERS if claim else ():
            headers[name] = claim
        request = urllib.request.Request(self._url, json.dumps(body).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=self._timeout_seconds) as answer:
                answer.read()
                return int(answer.status)
        except urllib.error.HTTPError as error:
            error.read()
            return error.code
        except OSError:
            return 0


class Logs:
    """What the pickers logged since this was made."""

    def __init__(self, commands: dict[str, str]) -> None:
        self._commands = commands
        self._since = time.time()

    def lines(self) -> list[Line]:
        return [
            line for pool, command in self._commands.items() for line in self._of(pool, command)
        ]

    def wait_for(self, count: int) -> list[Line]:
        """At least so many, or those that came in time."""
        deadline = time.monotonic() + LOG_SECONDS
        while len(found := self.lines()) < count and time.monotonic() < deadline:
            time.sleep(1.0)
        return found

    def _of(self, pool: str, command: str) -> list[Line]:
        done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{command}: {done.stderr.strip()}")
        found = []
        for text in done.stdout.splitlines():
            entry = json.loads(text) if text.startswith("{") else {}
            if entry.get("msg") == "request" and entry.get("ts", 0) >= self._since:
                waited, status = entry.get("waited_ms") or 0.0, entry.get("status") or 0
                found.append(Line(pool, entry.get("model", ""), entry["priority"], waited, status))
        return found


class Report:
    failed = False

    def check(self, good: bool, text: str) -> None:
        print(f"{'ok  ' if good else 'FAIL'}  {text}", flush=True)
        self.failed = self.failed or not good


def routing(gateway: Gateway, logs: Logs, report: Report, count: int) -> None:
    """Every model reaches its pool alone, with the priority that it has."""
    expected = 0
    for models in POOLS.values():
        for model in models:
            statuses = [gateway.ask(model, f"Say {number}.", 4) for number in range(count)]
            report.check(statuses == [200] * count, f"{model}: {count} answers, {set(statuses)}")
            expected += count
    lines = logs.wait_for(expected)
    for pool, models in POOLS.items():
        for model in models:
            seen = [line for line in lines if line.model == model]
            at, given = {line.pool for line in seen}, {line.priority for line in seen}
            report.check(
                len(seen) >= count and at == {pool} and given == {PRIORITY[model]},
                f"{model}: decided by {sorted(at)} with priority {sorted(given)},"
                f" wanted {pool} and {PRIORITY[model]}",
            )


def claims(gateway: Gateway, logs: Logs, report: Report, count: int) -> None:
    """A client that names an objective has the priority of its model."""
    for claim in ("governance", "reasoning-audit"):
        for number in range(count):
            gateway.ask("reasoning", f"Say {number}.", 4, claim)
    seen = [line for line in logs.wait_for(2 * count) if line.model == "reasoning"]
    given = {line.priority for line in seen}
    report.check(
        len(seen) >= 2 * count and given == {PRIORITY["reasoning"]},
        f"a client that claims an objective has priority {sorted(given)}, as without",
    )


def order(gateway: Gateway, logs: Logs, report: Report, users: int, seconds: float) -> bool:
    """While the reasoning pool is full, audits wait less than the rest. False: it never was."""
    stop = time.monotonic() + seconds

    def user(model: str, number: int) -> None:
        while time.monotonic() < stop:
            gateway.ask(model, f"Tell a story of {number} and {time.monotonic()}.", 256)

    threads = [threading.Thread(target=user, args=("reasoning", n)) for n in range(users)]
    threads += [threading.Thread(target=user, args=("reasoning-audit", n)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = [line for line in logs.wait_for(users) if line.pool == "reasoning"]
    plain = [line.waited_ms for line in lines if line.priority == 0 and line.status == 200]
    audits = [line.waited_ms for line in lines if line.priority == 100 and line.status == 200]
    waited = [wait for wait in plain if wait > 0]
    if len(waited) < 10 or len(audits) < 10:
        print(f"??    only {len(waited)} of {len(plain)} requests waited, {len(audits)} audits:")
        print("      the pool was not full; raise --users")
        return False
    ours, theirs = statistics.median(audits), statistics.median(waited)
    report.check(
        ours < theirs,
        f"in a full pool audits wait {ours:.0f} ms, others {theirs:.0f} ms (medians of"
        f" {len(audits)} and {len(waited)})",
    )
    return True


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    url = os.environ.get("VLLM_GATEWAY_URL", "")
    parser.add_argument("--url", default=url, help="of the gateway; else $VLLM_GATEWAY_URL")
    parser.add_argument("--namespace", default="inference")
    parser.add_argument("--context", default="", help="of kubectl")
    parser.add_argument("--count", type=int, default=5, help="requests for each model")
    parser.add_argument("--users", type=int, default=0, help="fill the reasoning pool; 0: do not")
    parser.add_argument("--seconds", type=float, default=30.0, help="how long to keep it full")
    parser.add_argument("--timeout", type=float, default=120.0, help="seconds for one answer")
    parser.add_argument(
        "--send-model-header",
        action="store_true",
        help="send X-Gateway-Model-Name, where no body-based router does it",
    )
    for pool in POOLS:
        parser.add_argument(f"--{pool}-log", help="command that prints the log of this picker")
    given = parser.parse_args()
    if not given.url:
        parser.error("--url or VLLM_GATEWAY_URL is needed")
    return given


def commands(given: argparse.Namespace) -> dict[str, str]:
    kubectl = "kubectl" + (f" --context {given.context}" if given.context else "")
    return {
        pool: getattr(given, f"{pool}_log")
        or f"{kubectl} -n {given.namespace} logs --tail=-1 --since=1h --container=epp"
        f" --selector=app.kubernetes.io/instance={pool},app.kubernetes.io/component=picker"
        for pool in POOLS
    }


def main() -> None:
    given = arguments()
    gateway = Gateway(given.url, given.send_model_header, given.timeout)
    report = Report()
    routing(gateway, Logs(commands(given)), report, given.count)
    claims(gateway, Logs(commands(given)), report, given.count)
    full = not given.users or order(
        gateway, Logs(commands(given)), report, given.users, given.seconds
    )
    sys.exit(1 if report.failed else 0 if full else 3)


if __name__ == "__main__":
    main()
