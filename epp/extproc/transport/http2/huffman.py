"""Huffman-coded strings of HPACK (RFC 7541 section 5.2), half an octet at a time."""

from __future__ import annotations

from typing import Final

from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH

_NOTHING: Final = -1
_WRONG: Final = -2  # also what leads to the end-of-string code, which must not occur


class NotHuffman(ValueError):
    """The octets are no Huffman code."""


def _code_tree() -> list[list[int]]:
    """Two branches for every inner node: another inner node, or -(symbol + 1). 0 is the root."""
    nodes = [[0, 0]]
    for symbol, (code, length) in enumerate(zip(REQUEST_CODES, REQUEST_CODES_LENGTH, strict=True)):
        at = 0
        for shift in range(length - 1, 0, -1):
            bit = code >> shift & 1
            if nodes[at][bit] == 0:
                nodes.append([0, 0])
                nodes[at][bit] = len(nodes) - 1
            at = nodes[at][bit]
        nodes[at][code & 1] = -(symbol + 1)
    return nodes


def _step(nodes: list[list[int]], node: int, half: int) -> tuple[int, int]:
    """Where four more bits lead, and the symbol that they end: one at most, codes have five."""
    symbol = _NOTHING
    for shift in (3, 2, 1, 0):
        node = nodes[node][half >> shift & 1]
        if node < 0:
            symbol, node = -node - 1, 0
            if symbol > 0xFF:
                return 0, _WRONG
    return node, symbol


def _ends(nodes: list[list[int]]) -> set[int]:
    """The nodes where a string may end: the padding is ones, and less than an octet."""
    found, node = {0}, 0
    for _ in range(7):
        node = nodes[node][1]
        found.add(node)
    return found


_NODES: Final = _code_tree()
_STEPS: Final = [_step(_NODES, node, half) for node in range(len(_NODES)) for half in range(16)]
_NEXT: Final[list[int]] = [16 * node for node, _ in _STEPS]
_SYMBOL: Final[list[int]] = [symbol for _, symbol in _STEPS]
_ENDS: Final[list[bool]] = [node in _ends(_NODES) for node in range(len(_NODES))]


def decode(data: bytes) -> bytes:
    """Raises NotHuffman."""
    text = bytearray()
    state = 0  # sixteen times the node
    for octet in data:
        for half in (octet >> 4, octet & 0xF):
            step = state + half
            symbol = _SYMBOL[step]
            if symbol >= 0:
                text.append(symbol)
            elif symbol == _WRONG:
                raise NotHuffman("the code for the end is in a string")
            state = _NEXT[step]
    if not _ENDS[state >> 4]:
        raise NotHuffman("a string ends within a code")
    return bytes(text)
