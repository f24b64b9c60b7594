from __future__ import annotations

import struct

import pytest

from epp.payloads.media import placeholder
from epp.payloads.payload import Payload
from epp.payloads.prompt import (
    MAX_BYTES_WITH_MEDIA,
    MAX_PIECES,
    Media,
    pack_tokens,
    payload_of,
    rest_of,
    unbuilt_list,
    url_of,
    whole_number,
    written,
)

URL = "https://example.com/y.png"


def test_a_payload_has_what_all_apis_name_alike() -> None:
    document = {"model": "m", "stream": True, "cache_salt": "s"}
    media = Media(tokens=7, unwritten_tokens=3)
    assert payload_of("api", document, b"12345", media, 9, can_rewrite=False) == Payload(
        api="api",
        model="m",
        streaming=True,
        prompt=b"12345",
        prompt_tokens=2 + 3,
        media_tokens=7,
        max_output_tokens=9,
        cache_salt="s",
        can_rewrite=False,
    )


@pytest.mark.parametrize("salt", [None, 7, ["s"]])
def test_only_a_text_is_a_salt(salt: object) -> None:
    assert payload_of("api", {"cache_salt": salt}, b"", Media(), None).cache_salt == ""


def test_an_image_begins_at_a_whole_token_and_counts_as_what_it_costs() -> None:
    prompt, media = bytearray(b"abcde"), Media()
    media.add_image(URL, prompt)
    assert bytes(prompt) == b"abcde\0\0\0" + placeholder(URL, 225)
    assert (media.tokens, media.unwritten_tokens) == (225, 0)


def test_where_the_prompt_is_full_media_only_count() -> None:
    prompt, media = bytearray(MAX_BYTES_WITH_MEDIA - 8), Media()
    media.add_image(URL, prompt)
    assert len(prompt) == MAX_BYTES_WITH_MEDIA
    assert (media.tokens, media.unwritten_tokens) == (225, 223)


def test_audio_counts_by_its_data_and_other_parts_are_text() -> None:
    prompt, media = bytearray(), Media()
    media.add_other({"type": "file", "file": {"file_id": "f"}}, prompt)
    assert media.tokens == 0
    media.add_other({"type": "input_audio", "input_audio": {"data": "A" * 400}}, prompt)
    assert 100 <= media.tokens < 120
    assert prompt.startswith(b'{"type":"file","file":{"file_id":"f"}}{"type":"input_audio"')


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("aß\ud800", "aß".encode() + b"\xed\xa0\x80"),
        (None, b""),
        (7, b"7"),
        ([{"a": 1}], b'[{"a":1}]'),
    ],
)
def test_what_is_written_of_a_value(value: object, expected: bytes) -> None:
    assert written(value) == expected


@pytest.mark.parametrize(
    ("value", "limit"),
    [(0, 0), (7, 7), (7.0, 7), (7.5, None), (-1, None), (True, None), ("7", None), (None, None)],
)
def test_limits_are_whole_numbers(value: object, limit: int | None) -> None:
    assert whole_number(value) == limit


@pytest.mark.parametrize(
    ("tokens", "packed"),
    [
        ([], b""),
        ([1, 2**32 - 1], struct.pack("<2I", 1, 2**32 - 1)),
        ([2**32], None),
        ([-1], None),
        ([1, "a"], None),
        ([1.0], None),
    ],
)
def test_tokens_are_four_bytes_each(tokens: list[object], packed: bytes | None) -> None:
    assert pack_tokens(tokens) == packed


def test_so_many_parts_are_looked_at_one_by_one() -> None:
    media = Media()
    assert media.takes([1] * (MAX_PIECES - 1))
    assert media.takes([1])
    assert not media.takes([1])
    assert media.takes([]) is False


def test_what_is_not_looked_at_is_json() -> None:
    assert rest_of([1] * MAX_PIECES) == b""
    assert rest_of([1] * MAX_PIECES + [2, {"a": 3}]) == b'[2,{"a":3}]'


@pytest.mark.parametrize(
    ("value", "kept"), [(b"[[1]]", b"[[1]]"), (b'{"a":1}', None), ([1], None), (None, None)]
)
def test_only_a_list_that_stayed_bytes_stands_for_itself(value: object, kept: bytes | None) -> None:
    assert unbuilt_list(value) == kept


@pytest.mark.parametrize(
    ("value", "url"), [("u", "u"), ({"url": "u"}, "u"), ({"url": 7}, None), (7, None), ({}, None)]
)
def test_a_url_stands_alone_or_in_an_object(value: object, url: str | None) -> None:
    assert url_of(value) == url
