from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from epp.bodyrouting.basemodel_file import BaseModelFile, BaseModelFileError
from epp.bodyrouting.basemodels import Entries

POLL_SECONDS = 0.01


def text(*names: str) -> str:
    return "baseModels: [" + ", ".join(f"{{baseModel: {name}}}" for name in names) + "]"


class Heard:
    """What was published, and a way to wait for it."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._news = asyncio.Event()

    def publish(self, entries: Entries) -> None:
        self.names = [entry.base_model for _, entry in entries]
        self._news.set()

    async def becomes(self, *names: str) -> None:
        async with asyncio.timeout(10):
            while self.names != list(names):
                self._news.clear()
                await self._news.wait()


@contextlib.asynccontextmanager
async def following(path: Path) -> AsyncIterator[Heard]:
    heard = Heard()
    file = BaseModelFile(path, heard.publish, POLL_SECONDS)
    await file.load()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(file.run())
        yield heard
        task.cancel()


async def logged(caplog: pytest.LogCaptureFixture, words: str) -> None:
    for _ in range(1000):
        if any(words in message for message in caplog.messages):
            return
        await asyncio.sleep(POLL_SECONDS)
    pytest.fail(f"never logged: {words}")


async def test_a_change_is_taken_in(tmp_path: Path) -> None:
    path = tmp_path / "models.yaml"
    path.write_text(text("one"))
    async with following(path) as heard:
        await heard.becomes("one")
        path.write_text(text("one", "two"))
        await heard.becomes("one", "two")
        fresh = tmp_path / "fresh"
        fresh.write_text(text("three"))
        fresh.rename(path)
        await heard.becomes("three")


async def test_a_file_that_goes_bad_keeps_the_last_good_content(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    path = tmp_path / "models.yaml"
    path.write_text(text("one"))
    async with following(path) as heard:
        path.write_text("baseModels: 7")
        await logged(caplog, "baseModels: a list is expected")
        path.unlink()
        await logged(caplog, "No such file")
        assert heard.names == ["one"]
        path.write_text(text("one"))
        await logged(caplog, "good again")
        path.write_text(text("two"))
        await heard.becomes("two")


@pytest.mark.parametrize(
    ("content", "problem"), [(None, "No such file"), ("x: 1", "a mapping with `baseModels`")]
)
async def test_the_first_reading_says_what_is_wrong(
    tmp_path: Path, content: str | None, problem: str
) -> None:
    path = tmp_path / "models.yaml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(BaseModelFileError, match=problem) as caught:
        await BaseModelFile(path, lambda _entries: None).load()
    assert str(path) in str(caught.value)
