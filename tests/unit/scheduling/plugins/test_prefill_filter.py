from __future__ import annotations

import pytest

from epp.scheduling.plugins.prefill_filter import PrefillFilter
from tests.helpers.build import a_request, an_endpoint


@pytest.mark.parametrize(
    ("role", "kept"),
    [
        *(
            (role, True)
            for role in (
                "prefill",
                "encode-prefill",
                "prefill-decode",
                "both",
                "encode-prefill-decode",
            )
        ),
        *((role, False) for role in ("decode", "encode", "encode-decode", "", None)),
    ],
)
def test_who_is_kept(role: str | None, kept: bool) -> None:
    endpoint = an_endpoint(labels={} if role is None else {"llm-d.ai/role": role})
    assert (PrefillFilter().keep(a_request(), [endpoint]) == [endpoint]) is kept


def test_the_order_stays_and_all_requests_are_kept_to_the_same() -> None:
    pool = [an_endpoint(labels={"llm-d.ai/role": "encode-prefill-decode"}) for _ in range(3)]
    assert PrefillFilter().keep(a_request(), pool) == pool
    assert PrefillFilter().fit_key(a_request()) == PrefillFilter().fit_key(a_request())
