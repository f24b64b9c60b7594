from __future__ import annotations

import json
import logging
import time

from epp.telemetry.logs import JsonLines
from epp.telemetry.request_log import RequestLog


def written(**fields: object) -> str:
    lines: list[bytes] = []
    log = RequestLog(lines.append, enabled=True)
    log.write({**log.begin(), **fields})
    [line] = lines
    return line.decode()


def test_a_line_begins_as_those_of_the_log_do() -> None:
    before = time.time()
    line = written(status=200)
    record = logging.LogRecord("epp.requests", logging.INFO, __file__, 1, "request", (), None)
    expected = json.loads(JsonLines().format(record))
    found = json.loads(line)
    assert before - 1e-6 <= found["ts"] <= time.time()
    assert list(found.items()) == [*{**expected, "ts": found["ts"]}.items(), ("status", 200)]
    assert line.endswith("}\n")


def test_what_json_has_no_form_for_costs_no_line() -> None:
    found = json.loads(written(flow="caf\udce9", tokens=10**30))
    assert (found["flow"], found["tokens"]) == ("caf\udce9", 10**30)
