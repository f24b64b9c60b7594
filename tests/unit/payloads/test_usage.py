from __future__ import annotations

from typing import Any

import orjson
import pytest

from epp.payloads.usage import Usage, find_report


@pytest.mark.parametrize(
    ("reports", "expected", "total"),
    [
        pytest.param(
            [{"prompt_tokens": 30, "completion_tokens": 8, "total_tokens": 38}],
            (30, 8, None),
            38,
            id="chat",
        ),
        pytest.param(
            [
                {
                    "input_tokens": 24,
                    "input_tokens_details": {"cached_tokens": 0},
                    "output_tokens": 8,
                }
            ],
            (24, 8, 0),
            32,
            id="responses",
        ),
        pytest.param(
            [{"input_tokens": 24, "cache_read_input_tokens": 8}, {"output_tokens": 9}],
            (24, 9, 8),
            33,
            id="messages",
        ),
        pytest.param(
            [{"prompt_tokens": 5, "completion_tokens": 1}, {"completion_tokens": 2}, {}],
            (5, 2, None),
            7,
            id="the-last-counts",
        ),
        pytest.param(
            [{"prompt_tokens": "5", "completion_tokens": " 5", "total_tokens": "x"}],
            (5, 0, None),
            5,
            id="text",
        ),
        pytest.param(
            [{"prompt_tokens": -1, "completion_tokens": True, "prompt_tokens_details": None}],
            (0, 0, None),
            0,
            id="nonsense",
        ),
        pytest.param(
            [{"prompt_tokens": 2**40, "completion_tokens": 2**32 - 1, "total_tokens": 10**30}],
            (0, 0, None),
            0,
            id="more-than-any-request-has",
        ),
        pytest.param(
            [{"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 10}],
            (5, 2, None),
            10,
            id="a-total-with-hidden-tokens",
        ),
        pytest.param(
            [{"prompt_tokens": 5, "total_tokens": 10}], (5, 0, None), 5, id="a-total-alone"
        ),
    ],
)
def test_reports_are_merged_field_by_field(
    reports: list[dict[str, Any]], expected: tuple[int, int, int | None], total: int
) -> None:
    usage = Usage()
    for report in reports:
        usage.merge(report)
    assert (usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens) == expected
    assert usage.total_tokens == total


@pytest.mark.parametrize(
    ("data", "report"),
    [
        pytest.param(b'{"usage":{"a":1}}', {"a": 1}, id="own"),
        pytest.param(b'{"usage" : {"a":1}}', {"a": 1}, id="spaced"),
        pytest.param(b'{"response":{"usage":{"a":1}}}', {"a": 1}, id="of-the-response"),
        pytest.param(b'{"message":{"usage":{"a":1}}}', {"a": 1}, id="of-the-message"),
        pytest.param(b'{"usage":{"a":1},"x":{"usage":{"a":2}}}', {"a": 1}, id="not-a-nested-one"),
        pytest.param(b'{"usage":{"a":1},"logprob":NaN}', {"a": 1}, id="lenient-writer"),
        pytest.param(b'{"usage":null}', None, id="null"),
        pytest.param(b'{"content":"\\"usage\\":{\\"a\\":1}"}', None, id="text"),
        pytest.param(b'{"tools":[{"usage":{"a":1}}]}', None, id="a-tool-of-that-name"),
        pytest.param(b'[{"usage":{"a":1}}]', None, id="list"),
        pytest.param(b" [DONE]", None, id="done"),
    ],
)
def test_the_report_of_a_whole_document(data: bytes, report: dict[str, int] | None) -> None:
    assert find_report(data) == report


@pytest.mark.parametrize(
    ("data", "report"),
    [
        pytest.param(b'ld text"}],"usage":{"a":{"b":1}},"x":null}', {"a": {"b": 1}}, id="one"),
        pytest.param(b'"usage":{"a":1}},"usage":{"a":2}}', {"a": 2}, id="the-last"),
        pytest.param(b'"usage":{"a":1}},"usage":{"a":', {"a": 1}, id="the-last-is-cut"),
        pytest.param(b'"usage":{"a":' + b"[" * 50_000, None, id="deep-and-cut"),
        pytest.param(b'"usage":{"a":}}', None, id="broken"),
    ],
)
def test_the_report_at_the_end_of_a_document(data: bytes, report: dict[str, int] | None) -> None:
    assert find_report(data) == report


def test_a_report_survives_any_writer() -> None:
    for option in (0, orjson.OPT_INDENT_2, orjson.OPT_APPEND_NEWLINE):
        assert find_report(orjson.dumps({"usage": {"a": 1}}, option=option)) == {"a": 1}
