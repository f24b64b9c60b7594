"""`epp explain` and `epp replay` against a real picker, each as a process of its own."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from epp.simulation.server import SimulatedServer
from epp.simulation.settings import ServerSettings
from tests.helpers.gateway import (
    BODY,
    FULL,
    a_gateway,
    destination,
    request_body,
    request_headers,
)
from tests.helpers.picker import PickerProcess, running_picker

NOTHING_HELD = {
    "llm_d_epp_endpoint_inflight_requests": 0.0,
    "llm_d_epp_request_total": 0.0,
    "llm_d_epp_refusals_total": 0.0,
}


def epp(*words: str, text: bytes = b"") -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "epp", *words],
        input=text,
        capture_output=True,
        timeout=60,
        check=False,
    )
    return done.returncode, (done.stdout + done.stderr).decode()


async def run(*words: str, text: bytes = b"") -> tuple[int, str]:
    return await asyncio.to_thread(lambda: epp(*words, text=text))


def url(picker: PickerProcess) -> str:
    return f"http://127.0.0.1:{picker.metrics_port}"


@asynccontextmanager
async def a_picker(*flags: str) -> AsyncIterator[PickerProcess]:
    """With two servers."""
    servers = [SimulatedServer(ServerSettings(name=f"s{n}")) for n in range(2)]
    try:
        for server in servers:
            await server.start()
        addresses = [f"127.0.0.1:{server.port}" for server in servers]
        with running_picker(addresses, flags=flags) as picker:
            yield picker
    finally:
        for server in servers:
            await server.stop()


async def test_a_request_is_explained_and_decided_again_in_a_fresh_process(tmp_path: Path) -> None:
    async with a_picker() as picker:
        asked = ["explain", "--url", url(picker), "--body", "-"]
        status, output = await run(*asked, text=BODY)
        assert status == 0, output
        assert "goes to 127.0.0.1:" in output
        wanted = picker.servers[1]
        status, output = await run(*asked, "--json", "--subset", wanted, text=BODY)
        assert status == 0, output
        assert json.loads(output)["decision"]["picked"] == [wanted]
        assert {name: picker.metric(name) for name in NOTHING_HELD} == NOTHING_HELD
    record = tmp_path / "record.json"
    record.write_text(output)
    status, output = await run("replay", str(record))
    assert status == 0, output
    assert output.endswith("the same as recorded\n")


async def test_a_real_decision_is_explained_by_its_request_id() -> None:
    async with a_picker("--replay-sampling", "1") as picker:
        picked: dict[str, str] = {}
        async with a_gateway(picker.grpc_port) as gateway:
            for number in range(5):
                call = gateway.open()
                headers = [("x-request-id", f"r/{number}")]
                await call.send(request_headers(FULL, headers=headers), request_body(BODY))
                picked[f"r/{number}"] = destination(await call.receive())
            for request_id, endpoint in picked.items():
                status, output = await run("explain", request_id, "--url", url(picker), "--json")
                assert status == 0, output
                explained: dict[str, Any] = json.loads(output)
                assert explained["request"]["request_id"] == request_id
                assert explained["decision"]["picked"][0] == endpoint
                status, output = await run("replay", "-", text=output.encode())
                assert status == 0, output
        status, output = await run("explain", "nobody", "--url", url(picker))
    assert status == 1
    assert "404 not among the recent decisions" in output


async def test_a_body_that_is_too_large_or_no_request() -> None:
    async with a_picker() as picker:
        asked = ["explain", "--url", url(picker), "--body", "-"]
        status, output = await run(*asked, text=b"x" * (5 << 20))
        assert status == 1
        assert "413 the body has more than" in output
        status, output = await run(*asked, text=b"{")
    assert status == 0, output
    assert "is refused: bad-request" in output
