from __future__ import annotations

from epp.core.stages import Role, Stage
from epp.scheduling.disaggregation import Named, StageNames, first_given


def test_a_profile_is_called_as_given_or_like_the_role() -> None:
    given = StageNames(Role.PREFILL, Named("profiles.prefill", "mine"), Named("d", "decider"))
    default = StageNames(Role.PREFILL, Named("profiles.prefill"), Named("d", "decider"))
    assert given.stage(("mine",)) == (Stage(Role.PREFILL, "mine", "decider"),)
    assert default.stage(("prefill",), skip_when_full=True) == (
        Stage(Role.PREFILL, "prefill", "decider", skip_when_full=True),
    )
    assert given.stage(("prefill",)) == ()


def test_without_a_decider_only_some_run() -> None:
    undecided = StageNames(Role.ENCODE, Named("e"), Named("d"))
    assert undecided.stage(("encode",)) == ()
    assert StageNames(Role.ENCODE, Named("e"), Named("d"), undecided_runs=True).stage(("encode",))


def test_the_first_that_is_given_counts() -> None:
    assert first_given(Named("a"), Named("b", "x"), Named("c", "y")).parameter == "b"
    assert first_given(Named("a"), Named("b")).parameter == "b"
