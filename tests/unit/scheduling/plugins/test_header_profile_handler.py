from __future__ import annotations

import pytest

from epp.core.stages import Role, Stage
from epp.scheduling.plugins.header_profile_handler import HeaderProfileHandler
from tests.helpers.build import a_request

PROFILES = ("encode", "prefill", "decode")


@pytest.mark.parametrize(
    ("headers", "profile"),
    [
        ({}, "decode"),
        ({"epp-profile": ""}, "decode"),
        ({"epp-profile": "prefill"}, "prefill"),
        ({"epp-profile": "encode"}, "encode"),
        ({"other": "encode"}, "decode"),
    ],
)
def test_the_header_names_the_profile(headers: dict[str, str], profile: str) -> None:
    request = a_request(headers=headers)
    assert HeaderProfileHandler().stages(request, PROFILES) == (Stage(Role.DECODE, profile),)


def test_an_unknown_name_runs_nothing() -> None:
    assert not HeaderProfileHandler().stages(a_request(headers={"epp-profile": "x"}), PROFILES)
    assert not HeaderProfileHandler().stages(a_request(), ("encode", "prefill"))


def test_the_only_profile_runs_whatever_the_header_says() -> None:
    request = a_request(headers={"epp-profile": "x"})
    assert HeaderProfileHandler().stages(request, ("p",)) == (Stage(Role.DECODE, "p"),)


def test_header_and_default_can_be_others() -> None:
    handler = HeaderProfileHandler("X-Phase", "encode")
    named = handler.stages(a_request(headers={"x-phase": "prefill"}), PROFILES)
    assert [stage.profile for stage in named] == ["prefill"]
    assert [stage.profile for stage in handler.stages(a_request(), PROFILES)] == ["encode"]


def test_a_default_that_is_not_there_is_told() -> None:
    [note] = HeaderProfileHandler().check(("encode", "prefill"))
    assert "requests without EPP-Profile are refused" in note
    assert HeaderProfileHandler().check(PROFILES) == HeaderProfileHandler().check(("p",)) == ()


def test_the_header_has_a_name() -> None:
    with pytest.raises(ValueError, match="headerName: is empty"):
        HeaderProfileHandler("")
