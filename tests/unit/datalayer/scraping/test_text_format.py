from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from epp.datalayer.scraping.text_format import (
    UNREADABLE,
    Sample,
    read_count,
    read_labels,
    read_sample,
    unescape,
)


@pytest.mark.parametrize(
    ("rest", "sample"),
    [
        pytest.param(b" 3.0", (b"", 3.0), id="no-labels"),
        pytest.param(b"\t3", (b"", 3.0), id="tab"),
        pytest.param(b"{} 3", (b"", 3.0), id="empty-labels"),
        pytest.param(b'{a="b"} 1.5e+09', (b'a="b"', 1.5e9), id="exponent"),
        pytest.param(b'{a="}"} 3', (b'a="}"', 3.0), id="brace-in-a-value"),
        pytest.param(b'{a="\\"} 4"} 3', (b'a="\\"} 4"', 3.0), id="escaped-quote"),
        pytest.param(b'{a="b"} 3 1395066363000', (b'a="b"', 3.0), id="timestamp"),
        pytest.param(b' 3 # {t="x"} 9 1.2', (b"", 3.0), id="exemplar"),
        pytest.param(b" 3\r", (b"", 3.0), id="carriage-return"),
        pytest.param(b" -1", (b"", None), id="negative"),
        pytest.param(b" NaN", (b"", None), id="nan"),
        pytest.param(b" +Inf", (b"", None), id="infinity"),
        pytest.param(b" 1e999", (b"", None), id="beyond-a-float"),
        pytest.param(b" 1_0", (b"", None), id="underscore"),
        pytest.param(b" 1.2.3", (b"", None), id="no-number"),
        pytest.param(b'{a="b} 3', UNREADABLE, id="open-quote"),
        pytest.param(b'{a="b" 3', UNREADABLE, id="open-brace"),
        pytest.param(b" 3 and more", UNREADABLE, id="words-behind"),
        pytest.param(b" ", UNREADABLE, id="no-value"),
    ],
)
def test_samples(rest: bytes, sample: Sample) -> None:
    assert read_sample(rest, 0, len(rest)) == sample


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        pytest.param(b"", {}, id="none"),
        pytest.param(b'a="b",c="d"', {"a": "b", "c": "d"}, id="two"),
        pytest.param(b'a="b", ', {"a": "b"}, id="comma-at-the-end"),
        pytest.param(b'a="x\\\\n\\n\\""', {"a": 'x\\n\n"'}, id="escapes"),
        pytest.param(b'a="\xff"', {"a": "\N{REPLACEMENT CHARACTER}"}, id="no-utf-8"),
        pytest.param(b'a=b"', None, id="no-quote"),
        pytest.param(b'a="b"c="d"', None, id="no-comma"),
        pytest.param(b'a="b",,', None, id="two-commas"),
    ],
)
def test_labels(text: bytes, labels: dict[str, str] | None) -> None:
    assert read_labels(text) == labels


@given(st.text())
def test_what_is_escaped_comes_back(value: str) -> None:
    escaped = value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
    assert unescape(escaped) == value


@pytest.mark.parametrize(
    ("text", "count"), [("32", 32), ("None", None), ("", None), ("-1", None), ("1" * 99, None)]
)
def test_counts(text: str, count: int | None) -> None:
    assert read_count(text) == count
