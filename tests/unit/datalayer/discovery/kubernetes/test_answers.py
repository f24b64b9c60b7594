from __future__ import annotations

import contextlib

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from epp.datalayer.discovery.kubernetes.answers import (
    Bookmark,
    Failure,
    FailureKind,
    Garbage,
    LineSplitter,
    Put,
    Removed,
    names_resource,
    read_event,
    read_failure,
    read_page,
)
from epp.datalayer.discovery.kubernetes.fields import BadField, Json


def read_size(raw: Json) -> int:
    """A reader of the simplest kind: an object is its field `size`."""
    size = raw.get("size")
    if not isinstance(size, int):
        raise BadField("size: is missing")
    return size


def an_object(name: str, version: str = "5", **fields: object) -> dict[str, object]:
    return {"metadata": {"namespace": "ns", "name": name, "resourceVersion": version}, **fields}


def a_page(*items: object, version: str = "7", token: str | None = None) -> bytes:
    metadata = {"resourceVersion": version, **({"continue": token} if token else {})}
    return orjson.dumps({"kind": "List", "metadata": metadata, "items": items})


def test_a_page() -> None:
    body = a_page(an_object("a", size=1), an_object("b", size=2), token="next")
    page = read_page(body, read_size)
    assert page.objects == {("ns", "a"): 1, ("ns", "b"): 2}
    assert (page.resource_version, page.continue_token) == ("7", "next")
    assert (page.size_bytes, len(page)) == (len(body), 2)


def test_one_wrong_object_harms_no_other() -> None:
    page = read_page(a_page(an_object("a"), an_object("b", size=2)), read_size)
    assert page.objects == {("ns", "b"): 2}
    assert page.problems == {("ns", "a"): "size: is missing"}
    assert len(page) == 2


def test_an_empty_list_may_be_null() -> None:
    body = b'{"metadata": {"resourceVersion": "7"}, "items": null}'
    assert read_page(body, read_size).objects == {}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b'{"items": []}',
        b'{"metadata": {}, "items": []}',
        b'{"metadata": {"resourceVersion": 7}, "items": []}',
        b'{"metadata": {"resourceVersion": "7"}, "items": {}}',
        b'{"metadata": {"resourceVersion": "7"}, "items": [1]}',
        b'{"metadata": {"resourceVersion": "7"}, "items": [{"metadata": {}}]}',
        a_page(an_object("a", size=1))[:-3],
    ],
)
def test_what_is_no_page(body: bytes) -> None:
    with pytest.raises(Garbage):
        read_page(body, read_size)


def a_line(kind: str, raw: object) -> bytes:
    return orjson.dumps({"type": kind, "object": raw})


@pytest.mark.parametrize(
    ("line", "event"),
    [
        (a_line("ADDED", an_object("a", size=1)), Put(("ns", "a"), 1, "", "5")),
        (a_line("MODIFIED", an_object("a", size=2)), Put(("ns", "a"), 2, "", "5")),
        (a_line("MODIFIED", an_object("a")), Put(("ns", "a"), None, "size: is missing", "5")),
        (a_line("DELETED", an_object("a")), Removed(("ns", "a"), "5")),
        (a_line("BOOKMARK", {"metadata": {"resourceVersion": "9"}}), Bookmark("9")),
        (
            a_line("ERROR", {"code": 410, "reason": "Expired", "message": "too old"}),
            Failure(FailureKind.GONE, "too old (code 410)"),
        ),
        (
            a_line("ERROR", {"reason": "Gone", "message": "x"}),
            Failure(FailureKind.GONE, "x (code 0)"),
        ),
        (
            a_line("ERROR", {"code": 500, "message": "etcd"}),
            Failure(FailureKind.REFUSED, "etcd (code 500)"),
        ),
    ],
)
def test_events(line: bytes, event: object) -> None:
    assert read_event(line, read_size) == event


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"null",
        b'{"type": "ADDED"}',
        a_line("ADDED", {"size": 1}),
        a_line("ADDED", {"metadata": {"name": "a"}, "size": 1}),
        a_line("BOOKMARK", {"metadata": {}}),
        a_line("SYNC", an_object("a")),
        a_line("ADDED", an_object("a", size=1))[:-1],
    ],
)
def test_what_is_no_event(line: bytes) -> None:
    with pytest.raises(Garbage):
        read_event(line, read_size)


@pytest.mark.parametrize(
    ("status", "body", "retry_after", "failure"),
    [
        (410, b'{"message": "old"}', "", Failure(FailureKind.GONE, "HTTP 410: old")),
        (403, b'{"message": "no"}', "", Failure(FailureKind.FORBIDDEN, "HTTP 403: no")),
        (401, b"Unauthorized", "", Failure(FailureKind.UNAUTHORIZED, "HTTP 401: Unauthorized")),
        (
            404,
            b"404 page not found\n",
            "",
            Failure(FailureKind.NOT_FOUND, "HTTP 404: 404 page not found"),
        ),
        (429, b"", "3", Failure(FailureKind.REFUSED, "HTTP 429", 3.0)),
        (503, b"\xff", "soon", Failure(FailureKind.REFUSED, "HTTP 503: \ufffd")),
    ],
)
def test_failures(status: int, body: bytes, retry_after: str, failure: Failure) -> None:
    assert read_failure(status, body, retry_after) == failure


def test_whether_a_group_has_a_resource() -> None:
    body = b'{"resources": [{"name": "pods"}, {"name": "pods/status"}]}'
    assert names_resource(body, "pods")
    assert not names_resource(body, "pools")
    with pytest.raises(Garbage):
        names_resource(b"{}", "pods")


@given(st.binary(max_size=60))
def test_any_bytes_are_an_answer_or_garbage(data: bytes) -> None:
    with contextlib.suppress(Garbage):
        read_page(data, read_size)
    with contextlib.suppress(Garbage):
        read_event(data, read_size)
    assert read_failure(500, data).kind is FailureKind.REFUSED


@given(st.lists(st.binary(max_size=12).filter(lambda b: b"\n" not in b and b.strip())), st.data())
def test_lines_come_whole_however_they_are_cut(lines: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(line + b"\n" for line in lines) + b"half"
    splitter, found = LineSplitter(100), []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        found += splitter.feed(stream[:size])
        stream = stream[size:]
    assert found == lines


@pytest.mark.parametrize(
    ("before", "last"), [(b"", b"x" * 101), (b"x" * 60, b"x" * 60), (b"", b"x" * 101 + b"\n")]
)
def test_a_line_without_end_is_garbage(before: bytes, last: bytes) -> None:
    splitter = LineSplitter(100)
    splitter.feed(before)
    with pytest.raises(Garbage, match="more than 100 bytes"):
        splitter.feed(last)
