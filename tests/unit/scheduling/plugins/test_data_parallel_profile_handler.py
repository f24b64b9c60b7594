from __future__ import annotations

import pytest

from epp.core.stages import Role, Stage
from epp.scheduling.plugins.data_parallel_profile_handler import DataParallelProfileHandler
from tests.helpers.build import a_request, an_endpoint

RANK = an_endpoint(address="10.0.0.7", port=8003)
RANK_6 = an_endpoint(address="fd00::7", port=8003)


def test_the_gateway_is_told_the_common_port_and_the_sidecar_the_rank() -> None:
    handler = DataParallelProfileHandler()
    assert handler.stages(a_request(), ("p",)) == (Stage(Role.DECODE, "p"),)
    assert handler.common_authority(RANK) == "10.0.0.7:8000"
    assert handler.common_authority(RANK_6) == "[fd00::7]:8000"
    headers = handler.request_headers({Role.DECODE: (RANK_6,)})
    assert headers == {"x-data-parallel-host-port": "[fd00::7]:8003"}
    assert not handler.lists_fallbacks


def test_without_a_common_port_the_gateway_is_told_the_rank_too() -> None:
    assert DataParallelProfileHandler(0).common_authority(RANK) == ""


def test_it_is_for_one_profile() -> None:
    with pytest.raises(ValueError, match="cannot support multiple"):
        DataParallelProfileHandler().check(("p", "q"))


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_port_is_one(port: int) -> None:
    with pytest.raises(ValueError, match="primaryPort"):
        DataParallelProfileHandler(port)
