from __future__ import annotations

from epp.scheduling.plugins.always_disagg_pd_decider import AlwaysDisaggPdDecider
from tests.helpers.build import a_request, an_endpoint


def test_every_request_is_prefilled_apart() -> None:
    decider = AlwaysDisaggPdDecider()
    assert decider.needed(a_request(), an_endpoint())
    assert decider.needed(a_request(prompt_tokens=1), None)
    assert decider.fit_key(a_request()) == decider.fit_key(a_request())
