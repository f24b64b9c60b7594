from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from epp.app.reload import MAX_FILE_BYTES, ConfigurationReload, ReloadSettings
from epp.config.build import read_configuration
from epp.config.settings import Configuration
from epp.telemetry.metrics import Metrics

HEAD = "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n"
POLL_SECONDS = 0.01


def document(priority: int | str, more: str = "") -> str:
    return f"{HEAD}routing: {{objectives: [{{name: gold, priority: {priority}}}]}}\n{more}"


@dataclass
class Desk:
    """A reload of a file, and what it put in force."""

    path: Path
    watch: bool = True
    fails: bool = False  # to put something in force
    applied: list[Configuration] = field(default_factory=list)
    metrics: Metrics = field(default_factory=Metrics)

    def __post_init__(self) -> None:
        self.path.write_text(document(1))
        clock = itertools.count(100)
        self.reload = ConfigurationReload(
            ReloadSettings(self.path, self.watch, POLL_SECONDS),
            read_configuration(self.path.read_text()),
            self.apply,
            self.metrics,
            lambda: float(next(clock)),
        )

    def apply(self, configuration: Configuration) -> None:
        if self.fails:
            raise ZeroDivisionError("planted")
        self.applied.append(configuration)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self.reload.run())
            yield
            task.cancel()

    async def generation(self, number: int) -> None:
        await until(lambda: self.reload.status.generation >= number)

    async def problem(self, text: str) -> None:
        await until(lambda: text in self.reload.status.problem)

    async def no_problem(self) -> None:
        await until(lambda: not self.reload.status.problem)

    def value(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"llm_d_epp_config_{name}", labels)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "epp.yaml")


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(POLL_SECONDS)
    pytest.fail("it never came to that")


def logged(caplog: pytest.LogCaptureFixture, text: str) -> bool:
    return any(text in record.message for record in caplog.records)


async def some_polls() -> None:
    await asyncio.sleep(10 * POLL_SECONDS)


async def test_a_changed_file_is_put_in_force(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    assert desk.value("generation") == 1
    async with desk.running():
        await some_polls()
        assert desk.applied == []
        desk.path.write_text(document(2))
        await desk.generation(2)
        await some_polls()
    [configuration] = desk.applied
    assert configuration.routing.objectives[0].priority == 2
    assert desk.value("generation") == 2
    assert desk.value("reloads_total", result="applied") == 1
    assert desk.value("last_reload_success_timestamp_seconds") == 101
    assert desk.value("last_reload_successful") == 1
    [record] = [r for r in caplog.records if r.message == "configuration applied"]
    fields = vars(record)
    assert fields["generation"] == 2
    assert fields["digest"] == desk.reload.status.digest
    assert fields["changes"] == ["routing.objectives[gold].priority: 1 -> 2"]


async def test_a_wrong_file_changes_nothing_and_is_said_once(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    async with desk.running():
        desk.path.write_text(document("high", "kinds: x\n"))
        await desk.problem("routing.objectives[0].priority")
        desk.path.write_text(document("high", "kinds:  x\n"))  # as wrong as before
        await until(lambda: desk.value("reloads_total", result="invalid") == 2)
        assert desk.value("last_reload_successful") == 0
        desk.path.write_text(document(1))
        await desk.no_problem()
    assert desk.applied == []
    assert desk.value("generation") == 1
    assert desk.value("last_reload_successful") == 1
    errors = [r.message for r in caplog.records if r.levelname == "ERROR"]
    assert len(errors) == 2  # one for each problem
    assert "kinds: unknown field" in errors[1]
    assert logged(caplog, "good again")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "document: is not a mapping"),
        (b"a: ]", "line 1, column 4"),
        (b"\xff\xfe\xff", "document: 'utf-8' codec"),
        (b"#" * (MAX_FILE_BYTES + 1), "document: more than"),
        (b"[" * 100_000, "document: "),
    ],
    ids=["empty", "no-yaml", "no-text", "endless", "deep"],
)
async def test_whatever_the_file_holds_the_last_good_one_stays(
    desk: Desk, content: bytes, problem: str
) -> None:
    async with desk.running():
        desk.path.write_bytes(content)
        await desk.problem(problem)
        desk.path.write_text(document(3))
        await desk.generation(2)
    assert len(desk.applied) == 1
    assert desk.reload.status.problem == ""


async def test_a_file_that_is_gone_and_comes_back(desk: Desk) -> None:
    async with desk.running():
        desk.path.unlink()
        await desk.problem("No such file")
        desk.path.write_text(document(1))
        await desk.no_problem()
    assert desk.applied == []


async def test_the_link_swap_of_a_mounted_config_map(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "first.yaml")

    def project(version: str, text: str) -> None:
        (tmp_path / version).mkdir()
        (tmp_path / version / "epp.yaml").write_text(text)
        link = tmp_path / "..data_tmp"
        link.symlink_to(version)
        link.rename(tmp_path / "..data")

    project("..1", document(1))
    desk.path.unlink()
    desk.path.symlink_to("..data/epp.yaml")
    async with desk.running():
        for number in (2, 3):
            project(f"..{number}", document(number))
            await desk.generation(number)
    assert [c.routing.objectives[0].priority for c in desk.applied] == [2, 3]


async def test_the_same_said_otherwise_is_no_change(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with desk.running():
        desk.path.write_text("# a comment\n" + document(1))
        desk.reload.request()
        await until(lambda: logged(caplog, "in force already"))
    assert desk.applied == []
    assert desk.value("generation") == 1


async def test_where_it_is_not_watched_it_is_read_when_asked(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "epp.yaml", watch=False)
    async with desk.running():
        desk.path.write_text(document(2))
        await some_polls()
        assert desk.applied == []
        desk.reload.request()
        await desk.generation(2)


async def test_who_asks_is_answered_each_time(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.path.write_text("x")
    async with desk.running():
        for _ in range(2):
            caplog.clear()
            desk.reload.request()
            await until(lambda: logged(caplog, "configuration not applied"))


async def test_a_document_that_is_not_from_a_file_cannot_change(
    caplog: pytest.LogCaptureFixture,
) -> None:
    reload = ConfigurationReload(
        ReloadSettings(None), read_configuration(), lambda _: None, Metrics(), lambda: 0.0
    )
    async with asyncio.TaskGroup() as group:
        task = group.create_task(reload.run())
        reload.request()
        await until(lambda: logged(caplog, "nothing to reload"))
        task.cancel()


async def test_what_needs_a_restart_is_told_and_the_rest_is_taken(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    async with desk.running():
        desk.path.write_text(document(2, "featureGates: [flowControl=false]\n"))
        await desk.generation(2)
        assert desk.reload.status.needs_restart == ("featureGates: flowControl",)
        assert desk.value("needs_restart") == 1
        desk.path.write_text(document(2))
        await desk.generation(3)
    assert all(c.flow_control is not None for c in desk.applied)
    assert desk.value("needs_restart") == 0
    assert logged(caplog, "needs a restart")


async def test_a_plugin_that_fails_while_it_is_taken_over_is_a_problem_and_no_end(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    desk.fails = True
    async with desk.running():
        desk.path.write_text(document(2))
        await desk.problem("ZeroDivisionError: planted")
        desk.fails = False
        desk.reload.request()
        await desk.generation(2)
    assert any(r.exc_info for r in caplog.records)
    assert desk.reload.status.problem == ""
