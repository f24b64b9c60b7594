"""vLLM's generate: a prompt that somebody else has made tokens of, and where its media stand."""

from __future__ import annotations

from itertools import islice
from typing import Any, Final

from epp.core.refusal import Reason, Refused
from epp.payloads.media import placeholder
from epp.payloads.payload import BYTES_PER_TOKEN, Payload
from epp.payloads.prompt import (
    MAX_PIECES,
    Media,
    pack_tokens,
    payload_of,
    unbuilt_list,
    whole_number,
)

MAX_MODALITIES: Final = 8  # there are images, videos and audio


def read_generate(document: dict[str, Any]) -> Payload:
    """Raises Refused without token ids. This API can do without a model."""
    given, media = document.get("token_ids"), Media()
    prompt = _token_ids(given) if isinstance(given, list) else unbuilt_list(given)
    if not prompt:
        detail = "invalid generate request: must have token_ids field"
        raise Refused(Reason.BAD_REQUEST, detail)
    if isinstance(features := document.get("features"), dict):
        prompt = _with_media(prompt, features, media)
    sampling = document.get("sampling_params")
    limit = whole_number(sampling.get("max_tokens")) if isinstance(sampling, dict) else None
    named = bool(document.get("model"))
    return payload_of("generate", document, prompt, media, limit, can_rewrite=named)


def _token_ids(given: list[Any]) -> bytes | None:
    """Also where a writer knows only floating point numbers."""
    tokens = pack_tokens(given)
    if tokens is not None:
        return tokens
    try:
        whole = list(map(int, given))
    except (TypeError, ValueError, OverflowError):
        return None
    return pack_tokens(whole) if whole == given else None


def _with_media(prompt: bytes, features: dict[str, Any], media: Media) -> bytes:
    """Images all have the same token ids. What tells them apart is written over these."""
    written, end = bytearray(prompt), 0
    size = len(prompt) // BYTES_PER_TOKEN
    for offset, length, name in sorted(_ranges(features)):
        if end <= offset < size:
            end = min(offset + length, size)
            at, stop = offset * BYTES_PER_TOKEN, end * BYTES_PER_TOKEN
            written[at:stop] = placeholder(name, end - offset)
            media.tokens += end - offset
    return bytes(written)


def _ranges(features: dict[str, Any]) -> list[tuple[int, int, str]]:
    """Offset and length in tokens, and the hash of the medium."""
    hashes, places = features.get("mm_hashes"), features.get("mm_placeholders")
    if not isinstance(hashes, dict) or not isinstance(places, dict):
        return []
    found: list[tuple[int, int, str]] = []
    for modality, names in islice(hashes.items(), MAX_MODALITIES):
        ranges = places.get(modality)
        if not isinstance(names, list) or not isinstance(ranges, list):
            continue
        for name, place in zip(names[:MAX_PIECES], ranges):  # noqa: B905 - compiled only so
            if not isinstance(name, str) or not isinstance(place, dict):
                continue
            offset, length = whole_number(place.get("offset")), whole_number(place.get("length"))
            if offset is not None and length is not None:
                found.append((offset, length, name))
    return found
