from __future__ import annotations

import pytest

from epp.core.refusal import Reason, Refused
from epp.flowcontrol.candidates import with_fallbacks, within
from tests.helpers.build import an_endpoint

A, B, C = (an_endpoint(name, requests=n) for n, name in enumerate("abc"))


def test_a_hint_names_addresses_or_ports() -> None:
    assert within(None, (A, B)) == (A, B)
    assert within(frozenset({A.address, B.authority}), (A, B, C)) == [A, B]
    with pytest.raises(Refused, match="the subset hint names none") as caught:
        within(frozenset({"10.9.9.9"}), (A, B))
    assert caught.value.reason is Reason.NO_ENDPOINTS


def test_full_endpoints_are_the_last_fallbacks_the_least_loaded_first() -> None:
    assert with_fallbacks((C,), (A, B, C), 3) == (C, A, B)
    assert with_fallbacks((C,), (B, A, C), 2) == (C, A)
    assert with_fallbacks((C,), (A, B, C), 1) == (C,)
    assert with_fallbacks((B, C), (B, C), 4) == (B, C)
