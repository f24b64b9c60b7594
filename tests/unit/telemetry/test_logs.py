from __future__ import annotations

import json
import logging
import os
import sys

import pytest

from epp.telemetry.logs import JsonLines, LineWriter, PlainLines, Threshold, threshold


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
    ("verbosity", "zap_level", "expected"),
    [
        (0, "", Threshold(logging.WARNING, requests=False)),
        (1, "", Threshold(logging.INFO, requests=False)),
        (2, "", Threshold(logging.INFO, requests=True)),
        (3, "", Threshold(logging.INFO, requests=True)),
        (4, "", Threshold(logging.DEBUG, requests=True)),
        (5, "info", Threshold(logging.INFO, requests=False)),
        (0, "debug", Threshold(logging.DEBUG, requests=True)),
        (5, "error", Threshold(logging.ERROR, requests=False)),
        (5, "panic", Threshold(logging.CRITICAL, requests=False)),
        (0, "2", Threshold(logging.INFO, requests=True)),
        (0, "9", Threshold(logging.DEBUG, requests=True)),
    ],
)
def test_what_is_logged(verbosity: int, zap_level: str, expected: Threshold) -> None:
    assert threshold(verbosity, zap_level) == expected


def test_lines_arrive_in_order_and_none_is_lost_at_the_end() -> None:
    reader, writer = os.pipe()
    lines = LineWriter(writer)
    for n in range(500):
        lines.put(b"%d\n" % n)
    lines.close()
    os.close(writer)
    with os.fdopen(reader) as stream:
        assert [int(line) for line in stream] == list(range(500))


def test_a_line_that_comes_after_a_pause_is_written_without_waiting_for_another() -> None:
    reader, writer = os.pipe()
    lines = LineWriter(writer)
    with os.fdopen(reader) as stream:
        for n in range(3):
            lines.put(b"%d\n" % n)
            assert stream.readline() == f"{n}\n"
    lines.close()
    os.close(writer)


def test_a_reader_that_went_away_stops_nothing() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    lines = LineWriter(writer)
    lines.put(b"x\n")
    lines.close()
    os.close(writer)
    assert lines.dropped == 1


def test_what_json_has_no_form_for_costs_no_line() -> None:
    assert json.loads(JsonLines().format(a_record(flow="\udce9")))["flow"] == "\udce9"
