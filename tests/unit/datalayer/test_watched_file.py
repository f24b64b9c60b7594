from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from epp.datalayer.watched_file import Unreadable, follow, read_file

POLL_SECONDS = 0.01


async def test_it_tells_once_at_first_and_then_of_every_change(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("1")
    told: list[str] = []
    news = asyncio.Event()

    async def changed() -> None:
        told.append(path.read_text() if path.exists() else "gone")
        news.set()

    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        task = group.create_task(follow(path, POLL_SECONDS, changed))
        for change in (lambda: None, lambda: path.write_text("22"), path.unlink):
            news.clear()
            change()
            await news.wait()
            await asyncio.sleep(10 * POLL_SECONDS)
        task.cancel()
    assert told == ["1", "22", "gone"]


async def test_what_changes_while_it_is_told_is_told_again(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("")
    told: list[int] = []
    enough = asyncio.Event()

    async def changed() -> None:
        told.append(len(path.read_text()))
        if len(told) < 3:
            path.write_text("x" * len(told))
        else:
            enough.set()

    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        task = group.create_task(follow(path, POLL_SECONDS, changed))
        await enough.wait()
        task.cancel()
    assert told == [0, 1, 2]


@pytest.mark.parametrize(
    ("prepare", "problem"),
    [
        pytest.param(lambda path: None, "No such file", id="missing"),
        pytest.param(lambda path: path.mkdir(), "not a regular file", id="a-directory"),
        pytest.param(os.mkfifo, "not a regular file", id="a-pipe-would-block"),
    ],
)
def test_what_is_no_file_is_said_with_its_path(
    tmp_path: Path, prepare: Callable[[Path], object], problem: str
) -> None:
    path = tmp_path / "file"
    prepare(path)
    with pytest.raises(Unreadable, match=problem) as caught:
        read_file(path, 10)
    assert str(caught.value).startswith(f"{path}: ")


def test_one_byte_more_than_the_limit_shows_that_it_is_too_long(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 100)
    assert len(read_file(path, 10)) == 11
    assert len(read_file(path, 100)) == 100
