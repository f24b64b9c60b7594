"""A toy tokenizer: four bytes of UTF-8 are one token, so that equal texts give equal tokens.

Every message starts on a token of its own, hence a conversation that grows keeps its prefix.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from random import Random

import xxhash

TOKEN_BYTES = 4
MAX_TOKEN_ID = 2**32 - 1
_SPECIAL = 0xFFFFFF00  # no four bytes of UTF-8 end in this
_ROLES = {
    role: _SPECIAL + i
    for i, role in enumerate(("system", "developer", "user", "assistant", "tool", "function"))
}
_OTHER_ROLE = _SPECIAL + 0x40
_END_OF_MESSAGE = _SPECIAL + 0x41
_WORDS = (  # with a space behind it, each is one token
    "the and for its has can two one new red sky sea ice sun fog dew oak elm fir bay "
    "cat dog fox owl hen bee ant elk who why how now far low big old shy sly odd wet "
    "ran sat ate saw met won hid lit dug fed sit led but yet nor let may got put cut"
)
_PIECES = array("I", "".join(f"{word} " for word in _WORDS.split()).encode())


def encode(text: str) -> array[int]:
    """Token ids of a text; the last token is padded with zero bytes."""
    data = text.encode("utf-8", "surrogatepass")
    return array("I", data + bytes(-len(data) % TOKEN_BYTES))


def decode(tokens: Sequence[int]) -> str:
    """The text of ordinary tokens. Half a character becomes a replacement character."""
    return array("I", tokens).tobytes().replace(b"\0", b"").decode("utf-8", "replace")


def render_chat(messages: Iterable[tuple[str, str]]) -> array[int]:
    """Tokens of a conversation, (role, text) each, up to where the assistant goes on."""
    tokens = array("I")
    for role, text in messages:
        tokens.append(_ROLES.get(role, _OTHER_ROLE))
        tokens.extend(encode(text))
        tokens.append(_END_OF_MESSAGE)
    tokens.append(_ROLES["assistant"])
    return tokens


def answer(prompt: array[int], length: int, seed: int) -> array[int]:
    """What the model says: always the same for the same prompt and seed."""
    words = Random(xxhash.xxh3_64_intdigest(prompt.tobytes(), seed))
    return array("I", words.choices(_PIECES, k=length))


def natural_length(prompt: array[int], seed: int) -> int:
    """Where the model stops by itself: lognormal, median 129 tokens, as in chat traces."""
    draw = Random(~xxhash.xxh3_64_intdigest(prompt.tobytes(), seed))
    return max(1, round(draw.lognormvariate(4.86, 1.0)))


def block_hashes(tokens: array[int], block_size_tokens: int, root: str) -> list[int]:
    """One hash per full block, each covering all tokens up to its end.

    `root` keeps apart what must not share a cache: adapters, and salts.
    """
    data = tokens.tobytes()
    width = block_size_tokens * TOKEN_BYTES
    parent = xxhash.xxh3_64_digest(root.encode())
    hashes: list[int] = []
    for start in range(0, len(data) - width + 1, width):
        parent = xxhash.xxh3_64_digest(parent + data[start : start + width])
        hashes.append(int.from_bytes(parent, "big"))
    return hashes
