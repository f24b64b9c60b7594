from __future__ import annotations

import pytest

from epp.simulation.fleet.transfers import Links, LinkSettings


def links(servers: int = 4) -> Links:
    return Links(LinkSettings(bytes_per_second=100.0, setup_seconds=0.5), servers)


def test_a_transfer_takes_its_setup_and_its_bytes() -> None:
    assert links().send((0, 1), 200, 10.0) == 12.5


def test_a_server_sends_and_receives_one_thing_after_the_other() -> None:
    between = links()
    assert between.send((0, 1), 200, 10.0) == 12.5
    assert between.send((0, 2), 100, 10.0) == 13.5
    assert between.send((3, 1), 100, 11.0) == 13.5
    assert between.send((2, 1), 100, 20.0) == 21.5


def test_others_are_not_in_the_way() -> None:
    between = links()
    between.send((0, 1), 1000, 10.0)
    assert between.send((2, 3), 100, 10.0) == 11.5


def test_nothing_to_send_takes_the_setup() -> None:
    assert links().send((0, 1), 0, 10.0) == 10.5


@pytest.mark.parametrize("settings", [(0.0, 0.0), (-1.0, 0.0), (float("nan"), 0.0), (1.0, -0.1)])
def test_a_link_that_cannot_be_is_refused(settings: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="a link has more than 0 bytes"):
        LinkSettings(*settings)
