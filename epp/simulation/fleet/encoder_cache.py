"""Embeddings of images that an engine keeps, so that equal images are encoded once."""

from __future__ import annotations

from collections import OrderedDict

from epp.simulation.fleet.segments import Segment


class EncoderCache:
    """The least recently used go first. One image is always kept, as large as it may be."""

    def __init__(self, capacity_tokens: int) -> None:
        self._room = capacity_tokens
        self._tokens: OrderedDict[int, int] = OrderedDict()  # by key of the image

    def missing_tokens(self, image: Segment) -> int:
        """To be encoded now, 0 if it is there. Either way it is there afterwards."""
        kept = self._tokens
        if image.key in kept:
            kept.move_to_end(image.key)
            return 0
        kept[image.key] = image.tokens
        self._room -= image.tokens
        while self._room < 0 and len(kept) > 1:
            self._room += kept.popitem(last=False)[1]
        return image.tokens

    def clear(self) -> None:
        self._room += sum(self._tokens.values())
        self._tokens.clear()
