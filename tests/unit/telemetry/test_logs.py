from __future__ import annotations

import json
import logging
import os
import sys

import pytest

from epp.telemetry.logs import JsonLines, LineWriter, PlainLines, RequestLog, level_of


def a_record(**fields: object) -> logging.LogRecord:
    record = logging.LogRecord("room", logging.WARNING, __file__, 1, "it is %s", ("so",), None)
    vars(record).update(fields)
    return record


def test_a_line_is_one_json_object_with_its_fields() -> None:
    line = json.loads(JsonLines().format(a_record(port=7, odd=object)))
    assert (line["level"], line["logger"], line["msg"], line["port"]) == (
        "warning",
        "room",
        "it is so",
        7,
    )


def test_a_trace_is_in_the_line() -> None:
    record = a_record()
    try:
        raise ValueError("boom")
    except ValueError:
        record.exc_info = sys.exc_info()
    text = JsonLines().format(record)
    assert "\n" not in text
    assert "boom" in json.loads(text)["stacktrace"]


def test_plain_lines_are_for_people() -> None:
    assert PlainLines().format(a_record()).endswith("WARNING room: it is so")


@pytest.mark.parametrize(
    ("verbosity", "level"),
    [(0, logging.WARNING), (2, logging.INFO), (3, logging.INFO), (4, logging.DEBUG)],
)
def test_levels(verbosity: int, level: int) -> None:
    assert level_of(verbosity) == level


def test_lines_arrive_in_order_and_none_is_lost_at_the_end() -> None:
    reader, writer = os.pipe()
    lines = LineWriter(writer)
    log = RequestLog(lines, enabled=True)
    for n in range(500):
        log.write({"n": n})
    lines.close()
    os.close(writer)
    with os.fdopen(reader) as stream:
        assert [json.loads(line)["n"] for line in stream] == list(range(500))


def test_a_reader_that_went_away_stops_nothing() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    lines = LineWriter(writer)
    lines.put(b"x\n")
    lines.close()
    os.close(writer)
    assert lines.dropped == 1
