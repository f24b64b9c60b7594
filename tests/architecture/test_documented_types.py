"""The table of all plugin types in the documentation says what this version does with each."""

from __future__ import annotations

import re
from pathlib import Path

from epp.config.rooms import ACCEPTED, KNOWN_ELSEWHERE, ROOMS
from epp.scheduling.catalogue import discover

PAGE = Path(__file__).parents[2] / "docs" / "plugins.md"


def documented(state: str) -> set[str]:
    row = re.search(rf"^\| {state} \| (.*) \|$", PAGE.read_text(), re.MULTILINE)
    assert row is not None
    return {
        name for name in re.findall(r"`([a-z0-9-]+)`", row[1]) if "-" in name or name == "tokenizer"
    }


def ours() -> set[str]:
    """Types that the Go picker does not have stand in the other tables."""
    return set(re.findall(r"^\| `([a-z-]+)` \(ours\)", PAGE.read_text(), re.MULTILINE))


def test_what_is_not_yet_there() -> None:
    assert documented("not yet") == KNOWN_ELSEWHERE


def test_what_can_be_named() -> None:
    assert documented("here") | documented("accepted") | ours() == {*discover(), *ROOMS, *ACCEPTED}
    assert not documented("here") & documented("accepted")


def test_every_scheduling_plugin_has_a_row() -> None:
    tables = PAGE.read_text().partition("## Every type")[0]
    assert {name for name in discover() if f"`{name}`" not in tables} == set()
