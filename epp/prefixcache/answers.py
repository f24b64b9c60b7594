"""Which server has the answer to a prompt cached beside it: what the next turn goes on from.

An engine caches what it generates. A prompt that begins with one that was answered therefore finds
the answer, too, on the server that gave it, and nowhere else. The text of an answer is never seen
here: that the new prompt goes on from the old one, and how long the answer was, is enough.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from xxhash import xxh3_64_intdigest

from epp.core.endpoint import Endpoint
from epp.core.request import RequestFacts
from epp.prefixcache.blocks import BYTES_PER_TOKEN, tokens_in, whole_blocks

MOST_PROMPTS: Final = 16_384  # that are remembered; the one that was answered first leaves
MOST_UNREPORTED: Final = 4096  # whose answers' lengths may still be told
LOOK_BACK: Final = 64  # blocks of a new prompt, from its end, in which an old one may have ended


@dataclass(frozen=True, slots=True)
class _Answered:
    """Where a prompt ended, and what was said to it."""

    endpoint: Endpoint
    last_block: int  # hash of the last one that is whole, and so of all before it
    cut_block: int  # hash of the one that its end cuts; 0 if there is none
    cut_bytes: int
    token_ratio: float  # tokens that four bytes are
    answer_bytes: int = 0
    answer: int = 0  # what stands for it in the server's cache so far; 0 if nothing does


@dataclass(frozen=True, slots=True)
class Continued:
    """A prompt that goes on from one that was answered."""

    endpoint: Endpoint
    known_blocks: int  # whole blocks of the old prompt
    blocks: int  # those with the answer: the server has computed as much
    replaced: tuple[int, ...]  # blocks of the server's cache that these stand for, too


class AnsweredPrompts:
    """Of prompts that end in the same block behind the same ones, the last one is remembered."""

    def __init__(self) -> None:
        self._known: OrderedDict[int, _Answered] = OrderedDict()  # by last block
        self._unreported: OrderedDict[str, _Answered] = OrderedDict()  # by request id

    def __len__(self) -> int:
        return len(self._known) + len(self._unreported)

    def answered(
        self,
        facts: RequestFacts,
        endpoint: Endpoint,
        tokens: int | None,
        answer: int,
        block_tokens: int,
    ) -> None:
        """All of the prompt is in its blocks. `tokens` are of the answer; None: not told so far.

        `answer` is the block that stands for it in the server's cache, 0 if none does.
        """
        blocks = facts.prefix_blocks
        whole, size = whole_blocks(facts.prefix_bytes, block_tokens)
        if not 0 < whole <= len(blocks):
            return  # a short prompt has nothing to be known by
        cut = blocks[whole] if whole < len(blocks) else 0
        cut_bytes = facts.prefix_bytes - size
        ended = _Answered(endpoint, blocks[whole - 1], cut, cut_bytes, facts.token_ratio)
        if tokens is not None:
            self._remember(ended, tokens, answer)
        elif facts.request_id:
            self._unreported[facts.request_id] = ended
            if len(self._unreported) > MOST_UNREPORTED:
                self._unreported.popitem(last=False)

    def reported(self, request_id: str, tokens: int, answer: int) -> None:
        ended = self._unreported.pop(request_id, None)
        if ended is not None:
            self._remember(ended, tokens, answer)

    def continued(
        self, blocks: Sequence[int], prompt: bytes, block_tokens: int
    ) -> Continued | None:
        """None where no prompt is known that this one goes on from."""
        known = self._known
        if not known:
            return None
        last = len(blocks) - 1
        for at in range(last, max(-1, last - LOOK_BACK), -1):
            ended = known.get(blocks[at])
            if ended is not None:
                return _continued(ended, at + 1, blocks[at], prompt, block_tokens)
        return None

    def clear(self) -> None:
        self._known.clear()
        self._unreported.clear()

    def _remember(self, ended: _Answered, tokens: int, answer: int) -> None:
        size = int(tokens * BYTES_PER_TOKEN / ended.token_ratio)
        if size <= 0:
            return
        known, key = self._known, ended.last_block
        known[key] = _Answered(
            ended.endpoint, key, ended.cut_block, ended.cut_bytes, ended.token_ratio, size, answer
        )
        known.move_to_end(key)
        if len(known) > MOST_PROMPTS:
            known.popitem(last=False)


def _continued(
    ended: _Answered, known_blocks: int, link: int, prompt: bytes, block_tokens: int
) -> Continued | None:
    start = tokens_in(known_blocks, block_tokens) * BYTES_PER_TOKEN
    stop = start + ended.cut_bytes
    if stop > len(prompt):
        return None
    if ended.cut_bytes and xxh3_64_intdigest(prompt[start:stop], link) != ended.cut_block:
        return None  # it begins alike, and goes on otherwise
    whole, _ = whole_blocks(min(stop + ended.answer_bytes, len(prompt)), block_tokens)
    if whole <= known_blocks:
        return None
    replaced = tuple([block for block in (ended.cut_block, ended.answer) if block])
    return Continued(ended.endpoint, known_blocks, whole, replaced)
