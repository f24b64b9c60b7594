from __future__ import annotations

import pytest

from epp.bodyrouting.basemodels import Entry
from epp.bodyrouting.configmaps import ConfigMap, entries_of, read_config_map
from epp.datalayer.discovery.kubernetes.fields import BadField


def raw(data: object, name: str = "qwen") -> dict[str, object]:
    created = "2026-01-02T03:04:05Z"
    return {
        "metadata": {"name": name, "namespace": "ns", "creationTimestamp": created},
        "data": data,
    }


def test_a_config_map_is_read() -> None:
    found = read_config_map(raw({"baseModel": "base", "adapters": "- a\n- 7\n"}))
    assert found == ConfigMap("2026-01-02T03:04:05Z", Entry("base", ("a", "7")))


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (None, "data.baseModel: is missing"),
        ({"adapters": "[a]"}, "data.baseModel: is missing"),
        ({"baseModel": "b", "adapters": "{"}, "data.adapters: line"),
        ("text", "data: a mapping is expected"),
    ],
)
def test_what_is_wrong_is_named_by_its_field(data: object, text: str) -> None:
    with pytest.raises(BadField, match=text):
        read_config_map(raw(data))


def test_the_oldest_comes_first_and_one_with_both_labels_once() -> None:
    old = ConfigMap("2026-01-01T00:00:00Z", Entry("old"))
    new = ConfigMap("2026-02-01T00:00:00Z", Entry("new"))
    same = ConfigMap("2026-02-01T00:00:00Z", Entry("same"))
    first = {("ns", "z"): old, ("ns", "b"): new}
    second = {("ns", "b"): new, ("ns", "a"): same}
    assert entries_of([first, second]) == [
        ("ConfigMap ns/z", old.entry),
        ("ConfigMap ns/a", same.entry),
        ("ConfigMap ns/b", new.entry),
    ]
