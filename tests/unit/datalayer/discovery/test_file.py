from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest

from epp.datalayer.discovery.document import EndpointsFileError
from epp.datalayer.discovery.file import FileDiscovery, FileDiscoverySettings
from epp.datalayer.store import EndpointSpec

POLL_SECONDS = 0.01


def a_file(*names: str) -> str:
    lines = [f"- {{name: {name}, address: 10.0.0.1, port: 8000}}\n" for name in names]
    return "endpoints:\n" + "".join(lines)


class Pool:
    """What was published, and a way to wait for the next time."""

    def __init__(self) -> None:
        self.published: list[list[str]] = []
        self._news = asyncio.Event()

    def publish(self, specs: Sequence[EndpointSpec]) -> None:
        self.published.append([spec.name for spec in specs])
        self._news.set()

    async def becomes(self, *names: str) -> None:
        async with asyncio.timeout(10):
            while not self.published or self.published[-1] != list(names):
                self._news.clear()
                await self._news.wait()


@contextlib.asynccontextmanager
async def following(path: Path, *, watch_file: bool = True) -> AsyncIterator[Pool]:
    pool = Pool()
    settings = FileDiscoverySettings(path, watch_file, POLL_SECONDS)
    discovery = FileDiscovery(settings, pool.publish)
    await discovery.load()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(discovery.run())
        yield pool
        task.cancel()


async def logged(caplog: pytest.LogCaptureFixture, text: str) -> None:
    for _ in range(1000):
        if any(text in message for message in caplog.messages):
            return
        await asyncio.sleep(POLL_SECONDS)
    pytest.fail(f"never logged: {text}")


async def some_polls() -> None:
    await asyncio.sleep(POLL_SECONDS * 10)


@pytest.mark.parametrize(
    ("prepare", "expected"),
    [
        pytest.param(lambda path: None, "No such file", id="missing"),
        pytest.param(lambda path: path.mkdir(), "not a regular file", id="a-directory"),
        pytest.param(os.mkfifo, "not a regular file", id="a-pipe"),
        pytest.param(lambda path: path.write_text("endpoints: 1"), "a list is", id="bad"),
    ],
)
async def test_the_first_load_must_succeed(
    tmp_path: Path, prepare: Callable[[Path], object], expected: str
) -> None:
    path = tmp_path / "pool.yaml"
    prepare(path)
    pool = Pool()
    with pytest.raises(EndpointsFileError, match=expected) as caught:
        await FileDiscovery(FileDiscoverySettings(path), pool.publish).load()
    assert str(path) in str(caught.value)
    assert pool.published == []


async def test_a_change_in_place(tmp_path: Path) -> None:
    path = tmp_path / "pool.yaml"
    path.write_text(a_file("a"))
    async with following(path) as pool:
        path.write_text(a_file("a", "b"))
        await pool.becomes("a", "b")
        assert pool.published == [["a"], ["a", "b"]]


async def test_a_rename_over_the_file(tmp_path: Path) -> None:
    path, fresh = tmp_path / "pool.yaml", tmp_path / "pool.yaml.new"
    path.write_text(a_file("a"))
    async with following(path) as pool:
        for name in "bcd":
            fresh.write_text(a_file(name))
            fresh.rename(path)
            await pool.becomes(name)


async def test_removed_and_created_later(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "pool.yaml"
    path.write_text(a_file("a"))
    async with following(path) as pool:
        path.unlink()
        await logged(caplog, "No such file")
        assert pool.published == [["a"]]
        path.write_text(a_file("b"))
        await pool.becomes("b")


async def test_the_link_swap_of_a_mounted_config_map(tmp_path: Path) -> None:
    def project(version: str, *names: str) -> None:
        (tmp_path / version).mkdir()
        (tmp_path / version / "pool.yaml").write_text(a_file(*names))
        link = tmp_path / "..data_tmp"
        link.symlink_to(version)
        link.rename(tmp_path / "..data")

    project("..1", "a")
    (tmp_path / "pool.yaml").symlink_to("..data/pool.yaml")
    async with following(tmp_path / "pool.yaml") as pool:
        project("..2", "b")
        await pool.becomes("b")
        project("..3", "c")
        await pool.becomes("c")


async def test_a_bad_file_keeps_the_pool_and_is_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    path = tmp_path / "pool.yaml"
    path.write_text(a_file("a"))
    async with following(path) as pool:
        path.write_text("endpoints: 1")
        await logged(caplog, "a list is expected")
        path.write_text("endpoints:  1")
        await some_polls()
        path.write_text("endpoints: []\nport: 1")
        await logged(caplog, "unknown field 'port'")
        assert pool.published == [["a"]]
        path.write_text(a_file("a"))
        await logged(caplog, "good again")
        await some_polls()
    assert pool.published == [["a"]]
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 3


async def test_the_same_content_again_is_no_news(tmp_path: Path) -> None:
    path = tmp_path / "pool.yaml"
    path.write_text(a_file("a"))
    async with following(path) as pool:
        os.utime(path, (1, 1))
        await some_polls()
        path.write_text(a_file("b"))
        await pool.becomes("b")
        assert pool.published == [["a"], ["b"]]


async def test_an_edit_that_keeps_the_size_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "pool.yaml"
    path.write_text(a_file("a"))
    async with following(path) as pool:
        for name in "bcdef":
            path.write_text(a_file(name))
            await pool.becomes(name)


async def test_a_file_that_is_being_written_is_not_read_before_it_stands_still(
    tmp_path: Path,
) -> None:
    path = tmp_path / "pool.yaml"
    path.write_text(a_file("a"))
    names = [f"s{number}" for number in range(100)]
    async with following(path) as pool:
        for count in range(1, len(names) + 1):  # a valid file at every moment
            path.write_text(a_file(*names[:count]))
            await asyncio.sleep(POLL_SECONDS / 5)
        await pool.becomes(*names)
        assert pool.published == [["a"], names]


async def test_without_watching_a_change_is_not_followed(tmp_path: Path) -> None:
    path = tmp_path / "pool.yaml"
    path.write_text(a_file("a"))
    async with following(path, watch_file=False) as pool:
        path.write_text(a_file("b"))
        await some_polls()
        assert pool.published == [["a"]]
