"""The answers that carry a pick, straight to protobuf's wire format.

Every request gets one. Most of its parts are those of an earlier one, so they are encoded once.
"""

from __future__ import annotations

from functools import lru_cache
from struct import Struct
from typing import Final

from epp.core.decision import DecisionRecord
from epp.extproc import headers as names
from epp.extproc.actions import Route
from epp.extproc.wire import field, varint

# In ProcessingResponse: what the pick travels with.
REQUEST_HEADERS: Final = b"\x0a"
REQUEST_BODY: Final = b"\x1a"
REQUEST_TRAILERS: Final = b"\x2a"
_DYNAMIC_METADATA: Final = b"\x42"

_RESPONSE: Final = b"\x0a"  # in HeadersResponse and BodyResponse
# In CommonResponse.
_HEADER_MUTATION: Final = b"\x12"
_BODY_MUTATION: Final = b"\x1a"
_CLEAR_ROUTE_CACHE: Final = b"\x28\x01"
_REPLACEMENT: Final = b"\x0a"  # in BodyMutation
# In HeaderMutation.
_SET_HEADERS: Final = b"\x0a"
_REMOVE_HEADERS: Final = b"\x12"
# In HeaderValueOption.
_HEADER: Final = b"\x0a"
_OVERWRITE: Final = b"\x18\x02"
# In HeaderValue.
_KEY: Final = b"\x0a"
_RAW_VALUE: Final = b"\x1a"
# In Struct.
_ENTRY: Final = b"\x0a"
_ENTRY_KEY: Final = b"\x0a"
_ENTRY_VALUE: Final = b"\x12"
# In Value.
_NUMBER: Final = b"\x11"
_TEXT: Final = b"\x1a"
_STRUCT: Final = b"\x2a"

# What is kept comes from clients too, so neither its number nor its size is unlimited.
KEPT_PARTS: Final = 4096
KEPT_CHARACTERS: Final = 256

_DOUBLE: Final = Struct("<d")
_KEY_OF_DESTINATION: Final = field(_KEY, names.DESTINATION.encode())
_ENTRY_OF_DESTINATION: Final = field(_ENTRY_KEY, names.DESTINATION.encode())
_LB_NAMESPACE: Final = field(_ENTRY_KEY, names.LB_NAMESPACE.encode())
_OWN_NAMESPACE: Final = field(_ENTRY_KEY, names.OWN_NAMESPACE.encode())
_SCORES: Final = field(_ENTRY_KEY, names.SCORES.encode())
_ROUTING: Final = frozenset(names.SERVER_ROUTING)


def answer(kind: bytes, route: Route, facts: bytes, replacement: bytes | None = None) -> bytes:
    """`kind` is REQUEST_HEADERS or REQUEST_BODY; `facts` is a Struct or empty.

    `replacement` is a new request body.
    """
    set_headers, strip = route.set_headers, _STRIP
    mutations = b""
    for key, value in set_headers.items():
        mutations += _set_header(key, value)
        if key in _ROUTING:
            strip = _kept_strip(_ROUTING.intersection(set_headers))
    if route.trace_headers is not None:
        for key, value in route.trace_headers.items():
            mutations += _header(key, value)
    rest = _CLEAR_ROUTE_CACHE
    if replacement is not None:
        rest = field(_BODY_MUTATION, field(_REPLACEMENT, replacement)) + rest
    destination = _encoded(route.destination)
    head = _before_pick(kind, len(destination), len(mutations) + len(strip), len(rest))
    metadata = _metadata(route, destination, facts)
    return b"".join((head, destination, _OVERWRITE, mutations, strip, rest, metadata))


def trailers_answer(route: Route, facts: bytes) -> bytes:
    """Headers cannot be changed any more: the pick is in the metadata alone."""
    metadata = _metadata(route, _encoded(route.destination), facts)
    return field(REQUEST_TRAILERS, b"") + metadata


def facts_struct(instance: str, nonce: str, record: DecisionRecord) -> bytes:
    """All that digesting the request's access log entry needs, so that any replica can.

    `instance` and `nonce` say who writes this.
    """
    model, target, flow = record.model, record.target_model, record.flow
    short = len(model) + len(target) + len(flow) <= KEPT_CHARACTERS
    texts = (_kept_texts if short else _texts)(instance, nonce, model, target, flow)
    return (
        texts
        + _kept_endpoint(record.picked[0].authority)
        + _packed(
            *(_PRIORITY, record.priority, _PROMPT_TOKENS, record.prompt_tokens),
            *(_CACHED_TOKENS, record.cached_tokens),
            *(_WAITED_SECONDS, int(record.waited_seconds * 1e6 + 0.5) / 1e6),
        )
    )


def _strip_but(kept: frozenset[str]) -> bytes:
    """Not those that are overwritten: a gateway may remove after it has set."""
    stripped = [name for name in names.STRIPPED if name not in kept]
    return b"".join([field(_REMOVE_HEADERS, name.encode()) for name in stripped])


def _texts(instance: str, nonce: str, model: str, target: str, flow: str) -> bytes:
    named = (
        *(("instance", instance), ("nonce", nonce)),
        *(("model", model), ("target_model", target), ("flow", flow)),
    )
    return b"".join([_text_entry(key, text) for key, text in named])


def _endpoint(authority: str) -> bytes:
    return _text_entry("endpoint", authority)


def _metadata(route: Route, destination: bytes, facts: bytes) -> bytes:
    """`destination` is the route's."""
    if not route.scores:
        before, between = _around_metadata(len(destination), len(facts))
        return b"".join((before, destination, between, facts))
    scores = b"".join(_number_entry(name, score) for name, score in route.scores.items())
    balancing = _text_entry(names.DESTINATION, route.destination) + _struct_entry(_SCORES, scores)
    metadata = _struct_entry(_LB_NAMESPACE, balancing)
    if facts:
        metadata += _struct_entry(_OWN_NAMESPACE, facts)
    return field(_DYNAMIC_METADATA, metadata)


# What stands around a destination depends on sizes alone, of which there are few: a list of
# endpoints has as many forms as it has orders.


@lru_cache(maxsize=KEPT_PARTS)
def _before_pick(kind: bytes, destination: int, mutations: int, rest: int) -> bytes:
    """Of an answer. In bytes: the destination, what follows it in the mutation and beside that."""
    head = _before(destination, (_KEY_OF_DESTINATION, _RAW_VALUE), (b"", _HEADER))
    head = _before(destination + len(_OVERWRITE), (b"", _SET_HEADERS), inner=head)
    size = destination + len(_OVERWRITE) + mutations
    head = _before(size, (b"", _HEADER_MUTATION), inner=head)
    return _before(size + rest, (b"", _RESPONSE), (b"", kind), inner=head)


@lru_cache(maxsize=KEPT_PARTS)
def _around_metadata(destination: int, facts: int) -> tuple[bytes, bytes]:
    """Before a destination of so many bytes, and between it and so many bytes of facts, if any."""
    balancing = _before(
        destination,
        *((b"", _TEXT), (_ENTRY_OF_DESTINATION, _ENTRY_VALUE), (b"", _ENTRY)),
        *((b"", _STRUCT), (_LB_NAMESPACE, _ENTRY_VALUE), (b"", _ENTRY)),
    )
    own = b""
    if facts:
        own = _before(facts, (b"", _STRUCT), (_OWN_NAMESPACE, _ENTRY_VALUE), (b"", _ENTRY))
    size = destination + len(own) + facts
    return _before(size, (b"", _DYNAMIC_METADATA), inner=balancing), own


def _before(size: int, *fields: tuple[bytes, bytes], inner: bytes = b"") -> bytes:
    """What opens these fields, the innermost first, around `inner` and `size` bytes after it.

    Of each: what stands before it in the message that it is a field of, and its tag.
    """
    for sibling, tag in fields:
        inner = sibling + tag + varint(len(inner) + size) + inner
    return inner


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def _set_header(key: str, value: str) -> bytes:
    return (_kept_header if len(value) <= KEPT_CHARACTERS else _header)(key, value)


def _header(key: str, value: str) -> bytes:
    """Replaces what the header had."""
    pair = field(_KEY, key.encode()) + field(_RAW_VALUE, _encoded(value))
    return field(_SET_HEADERS, field(_HEADER, pair) + _OVERWRITE)


def _text_entry(key: str, text: str) -> bytes:
    return _entry(key, field(_TEXT, _encoded(text)))


def _number_entry(key: str, number: float) -> bytes:
    return _number_head(key) + _DOUBLE.pack(number)


@lru_cache(maxsize=KEPT_PARTS)
def _number_head(key: str) -> bytes:
    """All of the entry but the number, which is the end of it and always of one size."""
    return _entry(key, _NUMBER + bytes(_DOUBLE.size))[: -_DOUBLE.size]


def _struct_entry(key: bytes, inside: bytes) -> bytes:
    """`key` is the field that holds it."""
    return field(_ENTRY, key + field(_ENTRY_VALUE, field(_STRUCT, inside)))


def _entry(key: str, value: bytes) -> bytes:
    return field(_ENTRY, field(_ENTRY_KEY, key.encode()) + field(_ENTRY_VALUE, value))


_kept_strip: Final = lru_cache(maxsize=1 << len(_ROUTING))(_strip_but)
_STRIP: Final = _kept_strip(frozenset())
_kept_header: Final = lru_cache(maxsize=KEPT_PARTS)(_header)
_kept_texts: Final = lru_cache(maxsize=KEPT_PARTS)(_texts)
_kept_endpoint: Final = lru_cache(maxsize=KEPT_PARTS)(_endpoint)

# The numbers among the facts: each is the head of its entry and eight bytes.
_PRIORITY: Final = _number_head("priority")
_PROMPT_TOKENS: Final = _number_head("prompt_tokens")
_CACHED_TOKENS: Final = _number_head("cached_tokens")
_WAITED_SECONDS: Final = _number_head("waited_seconds")
_HEADS: Final = (_PRIORITY, _PROMPT_TOKENS, _CACHED_TOKENS, _WAITED_SECONDS)
_packed: Final = Struct("<" + "".join(f"{len(head)}sd" for head in _HEADS)).pack
