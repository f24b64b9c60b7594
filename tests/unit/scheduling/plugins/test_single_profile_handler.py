from __future__ import annotations

import pytest

from epp.core.stages import Role, Stage
from epp.scheduling.plugins.single_profile_handler import SingleProfileHandler
from tests.helpers.build import a_request


def test_the_only_profile_runs() -> None:
    assert SingleProfileHandler().stages(a_request(), ("p",)) == (Stage(Role.DECODE, "p"),)
    assert SingleProfileHandler().check(("p",)) == ()


def test_several_are_an_error() -> None:
    with pytest.raises(ValueError, match="cannot support multiple scheduling profiles"):
        SingleProfileHandler().check(("p", "q"))
