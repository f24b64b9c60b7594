"""Decodes field sections: HPACK (RFC 7541), with the table that the peer's encoder keeps in step.

Every field is judged once, when it comes as a literal; one that is repeated by its index costs a
look into the table.
"""

from __future__ import annotations

from typing import Final

from hpack.table import HeaderTable

from epp.extproc.transport.http2 import huffman
from epp.extproc.transport.http2.faults import ConnectionFault, ErrorCode
from epp.extproc.transport.http2.fields import Field, RequestHead, field_of, request_head

TABLE_BYTES: Final = 4096  # the dynamic table's size, as we announce no other
MAX_INTEGER: Final = 1 << 28

_STATIC: Final = [field_of(name, value) for name, value in HeaderTable.STATIC_TABLE]


class _NoSection(Exception):
    """The bytes are no field section."""


class FieldDecoder:
    """One a connection, as the dynamic table is."""

    __slots__ = (
        "_changed",
        "_entries",
        "_last_head",
        "_last_section",
        "_max_section_bytes",
        "_room",
        "_table_bytes",
    )

    def __init__(self, max_section_bytes: int) -> None:
        self._max_section_bytes = max_section_bytes
        self._entries: list[Field] = []  # of the dynamic table, the oldest first
        self._table_bytes = TABLE_BYTES
        self._room = TABLE_BYTES
        self._changed = False  # the dynamic table, by the section that is being read
        # The last section that opened a call, while what it says is the same.
        self._last_section = b""
        self._last_head: RequestHead | None = None

    def request_head(self, block: bytes) -> RequestHead:
        """Of a section that opens a call. Raises ConnectionFault or MalformedFields.

        A gateway opens nearly all with the very bytes of the one before; as long as the table is
        the same, so is what they say.
        """
        last = self._last_head
        if last is not None and block == self._last_section:
            return last
        self._changed = False
        head = request_head(self.fields(block))
        if not self._changed:
            self._last_section, self._last_head = block, head
        return head

    def fields(self, block: bytes) -> list[Field]:
        """In their order. Raises ConnectionFault: the table may be out of step."""
        try:
            return self._fields(block)
        except (_NoSection, huffman.NotHuffman) as error:
            raise ConnectionFault(ErrorCode.COMPRESSION_ERROR, f"HPACK: {error}") from error
        except IndexError as cut:
            text = "HPACK: the section is cut"
            raise ConnectionFault(ErrorCode.COMPRESSION_ERROR, text) from cut

    def _fields(self, block: bytes) -> list[Field]:
        """Raises _NoSection, NotHuffman or IndexError. Section 6 has the representations."""
        found: list[Field] = []
        budget = self._max_section_bytes
        at, size = 0, len(block)
        while at < size:
            octet = block[at]
            if octet >= 0x80:
                index, at = _integer(block, at, 0x7F)
                field = self._entry(index)
            elif octet >= 0x40:
                field, at = self._literal(block, at, 0x3F)
                self._add(field)
            elif octet < 0x20:
                field, at = self._literal(block, at, 0x0F)
            else:
                if found:
                    raise _NoSection("a table size after fields")
                size_wanted, at = _integer(block, at, 0x1F)
                self._resize(size_wanted)
                continue
            budget -= field.size
            if budget < 0:
                raise _NoSection(f"more than {self._max_section_bytes} bytes of fields")
            found.append(field)
        return found

    def _entry(self, index: int) -> Field:
        if 0 < index <= len(_STATIC):
            return _STATIC[index - 1]
        place = len(self._entries) + len(_STATIC) - index
        if index == 0 or place < 0:
            raise _NoSection(f"nothing has the index {index}")
        return self._entries[place]

    def _literal(self, block: bytes, at: int, mask: int) -> tuple[Field, int]:
        index, at = _integer(block, at, mask)
        if index:
            name = self._entry(index).name
        else:
            name, at = _string(block, at)
        value, at = _string(block, at)
        return field_of(name, value), at

    def _add(self, field: Field) -> None:
        """A field that is larger than the table empties it (section 4.4)."""
        self._table_changes()
        self._entries.append(field)
        self._room -= field.size
        self._evict()

    def _resize(self, size: int) -> None:
        if size > TABLE_BYTES:
            raise _NoSection(f"a table of {size} bytes")
        self._table_changes()
        self._room += size - self._table_bytes
        self._table_bytes = size
        self._evict()

    def _table_changes(self) -> None:
        self._changed = True
        self._last_head = None

    def _evict(self) -> None:
        gone = 0
        while self._room < 0:
            self._room += self._entries[gone].size
            gone += 1
        if gone:
            del self._entries[:gone]


def _integer(block: bytes, at: int, mask: int) -> tuple[int, int]:
    """Section 5.1: the value, and where it ends. `mask` is that of its prefix."""
    value = block[at] & mask
    at += 1
    if value < mask:
        return value, at
    shift = 0
    while True:
        octet = block[at]
        at += 1
        value += (octet & 0x7F) << shift
        if octet < 0x80:
            return value, at
        shift += 7
        if value > MAX_INTEGER or shift > 28:
            raise _NoSection("an integer of too many bytes")


def _string(block: bytes, at: int) -> tuple[bytes, int]:
    """Section 5.2."""
    coded = block[at] >= 0x80
    length, at = _integer(block, at, 0x7F)
    stop = at + length
    if stop > len(block):
        raise _NoSection("a string is cut")
    data = block[at:stop]
    return (huffman.decode(data) if coded else data), stop
