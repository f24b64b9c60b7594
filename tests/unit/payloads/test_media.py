from __future__ import annotations

import base64
import struct
from collections.abc import Callable

import pytest

from epp.payloads.media import (
    DEFAULT_IMAGE_TOKENS,
    MAX_IMAGE_TOKENS,
    image_size,
    image_tokens,
    placeholder,
)


def png(width: int, height: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", width, height) + b"\x08\x02"


def gif(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HH", width, height) + b"\xf7\x00\x00"


def jpeg(width: int, height: int, *, segments: int = 1) -> bytes:
    preview = b"\xff\xe1" + struct.pack(">H", 22) + b"x" * 20
    frame = b"\xff\xc2" + struct.pack(">HBHHB", 17, 8, height, width, 3)
    return b"\xff\xd8" + preview * segments + frame


def data_url(data: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(data).decode()


@pytest.mark.parametrize("make", [png, gif, jpeg])
def test_the_size_of_common_formats(make: Callable[[int, int], bytes]) -> None:
    assert image_size(make(1920, 1080)) == (1920, 1080)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(png(1, 1)[:20], id="cut-png"),
        pytest.param(gif(1, 1)[:8], id="cut-gif"),
        pytest.param(jpeg(1, 1)[:-4], id="cut-jpeg"),
        pytest.param(jpeg(1, 1, segments=1000), id="jpeg-of-endless-segments"),
        pytest.param(b"\xff\xd8" + b"\xff\xe0\x00\x00" * 9999, id="jpeg-of-empty-segments"),
        pytest.param(b"RIFF....WEBPVP8 ", id="another-format"),
    ],
)
def test_no_size(data: bytes) -> None:
    assert image_size(data) is None


@pytest.mark.parametrize(
    ("url", "tokens"),
    [
        pytest.param(data_url(png(1024, 1024)), 1024, id="png"),
        pytest.param(data_url(png(1024, 1024) + b"x" * 200_000), 1024, id="large-file"),
        pytest.param(data_url(jpeg(640, 480)), 300, id="jpeg"),
        pytest.param(data_url(png(8, 8)), 1, id="tiny"),
        pytest.param(data_url(png(2**31, 2**31)), MAX_IMAGE_TOKENS, id="claims-to-be-huge"),
        pytest.param("https://example.com/a.png", DEFAULT_IMAGE_TOKENS, id="elsewhere"),
        pytest.param(
            "data:image/png;base64,\u00e9\u00e9\u00e9\u00e9", DEFAULT_IMAGE_TOKENS, id="no-base64"
        ),
        pytest.param("data:image/png,abcd", DEFAULT_IMAGE_TOKENS, id="not-base64"),
        pytest.param("", DEFAULT_IMAGE_TOKENS, id="empty"),
    ],
)
def test_image_tokens(url: str, tokens: int) -> None:
    assert image_tokens(url) == tokens


def test_a_placeholder_is_four_bytes_a_token_and_names_its_medium() -> None:
    assert len(placeholder("a", 3)) == 12
    assert placeholder("a", 3) == placeholder("a", 1) * 3
    assert placeholder("a", 1) != placeholder("b", 1)
    assert len(placeholder("\ud800", 1)) == 4
