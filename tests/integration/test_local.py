"""`epp local` as a user starts it: one command, one URL, Ctrl-C, nothing left behind."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import openai
import pytest

from epp.simulation.server import SimulatedServer
from epp.simulation.settings import ServerSettings
from tests.helpers.process import free_ports


def hang_up_counts() -> None:
    """A picker ignores it at first, and so does a process of tests that has run one."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


class Local:
    def __init__(self, folder: Path, flags: Sequence[str]) -> None:
        self.port = free_ports(1)[0]
        self._folder = folder
        self._output = folder / "output"
        command = [sys.executable, "-m", "epp", "local", "--port", str(self.port), *flags]
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "TMPDIR": str(folder)},
                preexec_fn=hang_up_counts,
            )

    def output(self) -> str:
        return self._output.read_text()

    async def ready(self) -> None:
        await self.says("Ctrl-C stops everything")

    async def says(self, text: str) -> None:
        for _ in range(400):
            if text in self.output():
                return
            if self.process.poll() is not None:
                break
            await asyncio.sleep(0.05)
        raise AssertionError(self.output())

    def folders(self) -> list[Path]:
        """Of its own, that it should leave nothing of."""
        return list(self._folder.glob("epp-local-*"))

    def descendants(self) -> list[int]:
        found = subprocess.run(
            ["pgrep", "-P", str(self.process.pid)], capture_output=True, text=True, check=False
        )
        return [int(pid) for pid in found.stdout.split()]

    def stop(self, number: int) -> int:
        self.process.send_signal(number)
        return self.process.wait(20)

    def destroy(self) -> None:
        if self.process.poll() is None:
            with suppress(subprocess.TimeoutExpired):
                self.stop(signal.SIGTERM)
            self.process.kill()
            self.process.wait()

    async def say_hello(self, model: str = "sim") -> int:
        client = openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{self.port}/v1", api_key="none")
        async with client:
            stream = await client.chat.completions.create(
                model=model,
                messages=[{"role": "user", "content": "Hello"}],
                max_tokens=4,
                stream=True,
            )
            return len([chunk async for chunk in stream])


def ended(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


STOPPERS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.mark.parametrize("number", STOPPERS, ids=["ctrl-c", "terminate", "hang-up"])
async def test_one_command_serves_and_leaves_no_orphan(tmp_path: Path, number: int) -> None:
    local = Local(tmp_path, [])
    try:
        await local.ready()
        assert f"http://127.0.0.1:{local.port}" in local.output()
        assert re.search(r"curl -N http", local.output())
        assert await local.say_hello() >= 4
        children = local.descendants()
        assert len(children) == 3
        assert await asyncio.to_thread(local.stop, number) == 0
        assert all(ended(pid) for pid in children)
        assert local.folders() == []
    finally:
        local.destroy()


@pytest.mark.parametrize("said", ["starting 4 simulated", "starting the picker"])
async def test_ctrl_c_counts_while_it_starts(tmp_path: Path, said: str) -> None:
    local = Local(tmp_path, [])
    try:
        await local.says(said)
        children = local.descendants()
        assert await asyncio.to_thread(local.stop, signal.SIGINT) == 0
        assert "OpenAI-compatible" not in local.output()
        assert all(ended(pid) for pid in children)
        assert local.folders() == []
    finally:
        local.destroy()


async def test_children_die_with_a_killed_parent(tmp_path: Path) -> None:
    local = Local(tmp_path, ["--simulate", "1"])
    try:
        await local.ready()
        children = local.descendants()
        local.process.kill()
        local.process.wait()
        for _ in range(200):
            if all(ended(pid) for pid in children):
                break
            await asyncio.sleep(0.05)
        assert all(ended(pid) for pid in children)
    finally:
        local.destroy()


@pytest.mark.parametrize("mode", ["light", "full"])
async def test_in_front_of_servers_that_are_there(tmp_path: Path, mode: str) -> None:
    async with SimulatedServer(ServerSettings(models=("mine",))) as server:
        local = Local(tmp_path, ["--backends", f"http://localhost:{server.port}", "--mode", mode])
        try:
            await local.ready()
            assert '"model": "mine"' in local.output()
            assert await local.say_hello("mine") >= 4
            assert len(local.descendants()) == 2
            assert await asyncio.to_thread(local.stop, signal.SIGINT) == 0
        finally:
            local.destroy()


async def test_a_backend_that_does_not_answer_is_told_and_the_rest_serves(tmp_path: Path) -> None:
    [closed] = free_ports(1)
    async with SimulatedServer(ServerSettings(models=("mine",))) as server:
        backends = f"http://127.0.0.1:{closed},http://127.0.0.1:{server.port}"
        local = Local(tmp_path, ["--backends", backends])
        try:
            await local.ready()
            reason = "cannot be reached now: Connect call failed"
            assert f"http://127.0.0.1:{closed}  {reason}" in local.output()
            assert f"http://127.0.0.1:{server.port}\n" in local.output()
            assert '"model": "mine"' in local.output()
        finally:
            local.destroy()


async def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    async with SimulatedServer(ServerSettings()) as server:
        local = Local(tmp_path, ["--port", str(server.port)])
        assert await asyncio.to_thread(local.process.wait, 20) == 1
        assert f"port {server.port} of 127.0.0.1 is taken" in local.output()


@pytest.mark.parametrize("url", ["ftp://x:1", "http://no-such-host.invalid:1", "http://"])
async def test_a_backend_that_cannot_be_used_is_named(tmp_path: Path, url: str) -> None:
    local = Local(tmp_path, ["--backends", url])
    assert await asyncio.to_thread(local.process.wait, 20) == 1
    assert "--backends" in local.output()
