from __future__ import annotations

from epp.admin.access.verdicts import (
    ALLOWED_SECONDS,
    MAX_ALLOWED,
    MAX_REFUSED,
    REFUSED_SECONDS,
    Verdict,
    Verdicts,
)

ALLOWED, REFUSED = Verdict(200), Verdict(401, "Unauthorized")


def key(number: int) -> bytes:
    return number.to_bytes(4, "big")


def test_each_verdict_has_its_time() -> None:
    verdicts = Verdicts()
    verdicts.keep(key(1), ALLOWED, 0.0)
    verdicts.keep(key(2), REFUSED, 0.0)
    assert verdicts.find(key(2), REFUSED_SECONDS - 0.001) == REFUSED
    assert verdicts.find(key(2), REFUSED_SECONDS) is None
    assert verdicts.find(key(1), ALLOWED_SECONDS - 0.001) == ALLOWED
    assert verdicts.find(key(1), ALLOWED_SECONDS) is None
    assert len(verdicts) == 0
    assert verdicts.find(key(3), 0.0) is None


def test_a_new_verdict_replaces_the_old_one() -> None:
    verdicts = Verdicts()
    for verdict in (REFUSED, ALLOWED, REFUSED):
        verdicts.keep(key(1), verdict, 0.0)
        assert verdicts.find(key(1), 1.0) == verdict
        assert len(verdicts) == 1


def test_made_up_tokens_do_not_drive_out_good_ones() -> None:
    verdicts = Verdicts()
    verdicts.keep(key(0), ALLOWED, 0.0)
    for number in range(1, MAX_REFUSED + 100):
        verdicts.keep(key(number), REFUSED, 0.0)
    assert verdicts.find(key(0), 1.0) == ALLOWED
    assert len(verdicts) == MAX_REFUSED + 1


def test_the_one_used_least_recently_goes_first() -> None:
    verdicts = Verdicts()
    for number in range(MAX_ALLOWED):
        verdicts.keep(key(number), ALLOWED, 0.0)
    assert verdicts.find(key(0), 1.0) == ALLOWED
    verdicts.keep(key(MAX_ALLOWED), ALLOWED, 1.0)
    assert verdicts.find(key(0), 1.0) == ALLOWED
    assert verdicts.find(key(1), 1.0) is None
