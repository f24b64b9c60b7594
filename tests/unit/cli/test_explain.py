from __future__ import annotations

from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import orjson
import pytest
from click.testing import CliRunner

from epp.cli.main import cli
from epp.explain.dry_run import explain
from tests.helpers.picker import free_ports
from tests.helpers.worlds import a_world


@pytest.fixture
def record(tmp_path: Path) -> Path:
    world = a_world()
    arrival = world.arrival(world.prompt, world.now)
    explained = explain(world.picker(), arrival, world.now, world.seed)
    path = tmp_path / "record.json"
    path.write_bytes(orjson.dumps(explained.as_dict()))
    return path


def run(*words: str, text: str | bytes = "") -> tuple[int, str]:
    result = CliRunner().invoke(cli, words, prog_name="epp", input=text)
    return result.exit_code, result.output


def test_the_same_decision_again(record: Path) -> None:
    status, output = run("replay", str(record))
    assert status == 0, output
    assert "goes to 10.0.0.1:80" in output
    assert output.endswith("the same as recorded\n")
    assert run("replay", "-", text=record.read_bytes()) == (0, output)


def test_another_decision_is_an_error_that_says_where(record: Path) -> None:
    changed = orjson.loads(record.read_bytes())
    changed["replay"]["configuration"]["schedulingProfiles"][0]["plugins"][0]["weight"] = 1
    record.write_bytes(orjson.dumps(changed))
    status, output = run("replay", str(record))
    assert status == 1
    assert "differs: decision.candidates[default/e0].total: 2.0 -> 1.0" in output


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"{", "unexpected end of data"),
        (b"[]", "is not an explanation"),
        (b"{}", "replay: is missing"),
        (b'{"replay": {"version": 1}}', "replay: KeyError: 'seed'"),
    ],
)
def test_what_is_no_record_is_said(record: Path, content: bytes, problem: str) -> None:
    record.write_bytes(content)
    status, output = run("replay", str(record))
    assert status == 1
    assert output.startswith(f"epp: {record}: ")
    assert problem in output


@pytest.mark.parametrize(
    ("words", "status", "problem"),
    [
        ([], 2, "give REQUEST_ID, or --body"),
        (["id", "--body", "-"], 2, "give REQUEST_ID, or --body"),
        (["--body", "-", "-H", "nothing"], 2, "'nothing' is not name: value"),
        (["--body", "/nowhere"], 1, "/nowhere: No such file"),
        (["id", "--url", "http://127.0.0.1:{port}"], 1, "Connection refused"),
        (["id", "--url", "http://[::1"], 2, "--url: 'http://[::1': Invalid IPv6 URL"),
        (["id", "--url", "http://a b"], 1, "URL can't contain control characters"),
        (["id", "--url", "file:///etc"], 2, "'file:///etc' does not begin with http"),
    ],
)
def test_what_cannot_be_asked_is_said(words: list[str], status: int, problem: str) -> None:
    [port] = free_ports(1)
    ended, output = run("explain", *(word.format(port=port) for word in words))
    assert ended == status
    assert problem in output


def test_an_answer_of_something_else_is_said() -> None:
    server = HTTPServer(("127.0.0.1", 0), SomethingElse)
    Thread(target=server.handle_request).start()
    status, output = run("explain", "id", "--url", f"http://127.0.0.1:{server.server_port}")
    server.server_close()
    assert status == 1
    assert "the answer is no explanation; is this a picker's metrics port?" in output


class SomethingElse(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<html>")
