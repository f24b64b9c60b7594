from __future__ import annotations

from epp.shadow.book import REMEMBERED, ShadowBook


def test_counts_go_on_and_the_comparison_begins_anew_with_another_profile() -> None:
    book = ShadowBook()
    book.put_in_force("live", [("s", 0.01, "definition")], 10.0)
    book.account("s", 0.01, 10.0).counts.agreed = 3
    book.put_in_force("live", [("s", 0.05, "definition")], 15.0)  # only its share is another
    [status] = book.statuses(20.0)
    assert (status.counts.agreed, status.seconds, status.max_loop_share) == (3, 10.0, 0.05)
    assert status.agreement == 1.0
    book.put_in_force("live", [("s", 0.05, "another")], 20.0)
    [status] = book.statuses(21.0)
    assert (status.counts.agreed, status.seconds) == (0, 1.0)
    assert status.agreement is None
    assert book.counts()["s"].agreed == 3


def test_who_is_no_shadow_any_more_is_counted_and_not_shown() -> None:
    book = ShadowBook()
    book.put_in_force("a", [("b", 0.01, "a b")], 0.0)
    book.account("b", 0.01, 0.0).counts.differed = 2
    book.put_in_force("b", [("a", 0.01, "b a")], 1.0)
    assert [(s.profile, s.live_profile) for s in book.statuses(2.0)] == [("a", "b")]
    assert book.counts()["b"].differed == 2
    book.put_in_force("a", [("b", 0.01, "a b")], 5.0)  # it did not look on in between
    [status] = book.statuses(6.0)
    assert (status.counts.compared, status.seconds) == (0, 1.0)


def test_names_that_come_and_go_are_forgotten_but_never_one_in_force() -> None:
    book = ShadowBook()
    for n in range(3 * REMEMBERED):
        book.put_in_force("live", [("kept", 0.01, 1), (f"s{n}", 0.01, n)], float(n))
        assert len(book.counts()) <= REMEMBERED
        assert {"kept", f"s{n}"} <= set(book.counts())
