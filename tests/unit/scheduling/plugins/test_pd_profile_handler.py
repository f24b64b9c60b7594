from __future__ import annotations

import pytest

from epp.core.stages import Role, Stage
from epp.scheduling.plugins.pd_profile_handler import PdProfileHandler
from tests.helpers.build import a_request, an_endpoint

DECODER = an_endpoint(address="10.0.0.1", port=8001)
PREFILLER = an_endpoint(address="10.0.0.2", port=8001)
PICKS = {Role.DECODE: (DECODER,), Role.PREFILL: (PREFILLER,)}


def test_decode_then_prefill_as_the_decider_says() -> None:
    assert PdProfileHandler().stages(a_request(), ("prefill", "decode")) == (
        Stage(Role.DECODE, "decode"),
        Stage(Role.PREFILL, "prefill", "prefix-based-pd-decider"),
    )
    assert PdProfileHandler().decider_names() == {"deciderPluginName": "prefix-based-pd-decider"}


def test_names_can_be_others() -> None:
    handler = PdProfileHandler("d", "p", "mine")
    assert [stage.profile for stage in handler.stages(a_request(), ("d", "p"))] == ["d", "p"]
    with pytest.raises(ValueError, match="prefillProfile: there is no profile 'p'"):
        handler.check(("d",))
    assert "profile 'x' never runs" in handler.check(("d", "p", "x"))


def test_a_common_port_is_told_with_the_rank() -> None:
    plain, common = PdProfileHandler(), PdProfileHandler(primary_port=8000)
    assert plain.request_headers(PICKS) == {"x-prefiller-host-port": "10.0.0.2:8001"}
    assert plain.common_authority(DECODER) == ""
    assert plain.lists_fallbacks
    assert common.request_headers(PICKS) == {
        "x-prefiller-host-port": "10.0.0.2:8001",
        "x-data-parallel-host-port": "10.0.0.1:8001",
    }
    assert common.common_authority(DECODER) == "10.0.0.1:8000"
    assert not common.lists_fallbacks


@pytest.mark.parametrize(
    "wrong",
    [
        {"primary_port": 70000},
        {"decode_profile": ""},
        {"prefill_profile": ""},
        {"decider_plugin_name": ""},
    ],
)
def test_what_is_wrong_is_named(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"primaryPort|decodeProfile|prefillProfile|decider"):
        PdProfileHandler(**wrong)  # type: ignore[arg-type]
