from __future__ import annotations

from epp.simulation.fleet.encoder_cache import EncoderCache
from epp.simulation.fleet.segments import Segment


def image(key: int, tokens: int = 100) -> Segment:
    return Segment(key, tokens, image=True)


def test_an_image_is_encoded_once() -> None:
    cache = EncoderCache(1000)
    assert [cache.missing_tokens(image(1)) for _ in range(3)] == [100, 0, 0]


def test_the_least_recently_used_goes_first() -> None:
    cache = EncoderCache(200)
    for key in (1, 2, 1, 3):
        cache.missing_tokens(image(key))
    assert cache.missing_tokens(image(1)) == 0
    assert cache.missing_tokens(image(2)) == 100


def test_one_that_is_larger_than_the_cache_stays_until_the_next() -> None:
    cache = EncoderCache(100)
    assert cache.missing_tokens(image(1, 5000)) == 5000
    assert cache.missing_tokens(image(1, 5000)) == 0
    assert cache.missing_tokens(image(2)) == 100
    assert cache.missing_tokens(image(2)) == 0
    assert cache.missing_tokens(image(1, 5000)) == 5000


def test_cleared_it_has_its_room_again() -> None:
    cache = EncoderCache(200)
    for key in (1, 2):
        cache.missing_tokens(image(key))
    cache.clear()
    assert [cache.missing_tokens(image(key)) for key in (1, 2, 1, 2)] == [100, 100, 0, 0]
