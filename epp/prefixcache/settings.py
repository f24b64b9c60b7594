"""Parameters of the approximate prefix index, as `approx-prefix-cache-producer` has them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Final

from epp.core.spelling import to_camel

MIN_BLOCK_TOKENS: Final = 64  # smaller blocks cost more than they tell


@dataclass(frozen=True, slots=True)
class PrefixCacheSettings:
    """Raises ValueError naming the parameter in its YAML spelling."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "alias_generator": to_camel}

    auto_tune: bool = True  # take a server's capacity from what it reports
    block_size_tokens: int = 16  # of the first block; at least MIN_BLOCK_TOKENS in effect
    block_size: int = 0  # the deprecated name; counts if blockSizeTokens is left at 16
    max_prefix_tokens_to_match: int = 131_072  # 0: maxPrefixBlocksToMatch counts
    max_prefix_blocks_to_match: int = 2048  # 0 is no limit
    lru_capacity_per_server: int = 31_250  # first blocks, for a server that reports none

    def __post_init__(self) -> None:
        for name, value in (
            ("blockSizeTokens", self.block_size_tokens),
            ("lruCapacityPerServer", self.lru_capacity_per_server),
        ):
            if value <= 0:
                raise ValueError(f"{name}: {value} is not above zero")
        for name, value in (
            ("blockSize", self.block_size),
            ("maxPrefixTokensToMatch", self.max_prefix_tokens_to_match),
            ("maxPrefixBlocksToMatch", self.max_prefix_blocks_to_match),
        ):
            if value < 0:
                raise ValueError(f"{name}: {value} is below zero")

    @property
    def block_tokens(self) -> int:
        """Tokens in the first block of a prompt, in effect."""
        chosen = self.block_size_tokens
        if chosen == 16 and self.block_size:
            chosen = self.block_size
        return max(MIN_BLOCK_TOKENS, chosen)

    @property
    def max_tokens(self) -> int | None:
        """Tokens of a prompt that are looked at; None is all."""
        if self.max_prefix_tokens_to_match:
            return max(self.block_tokens, self.max_prefix_tokens_to_match)
        return self.max_prefix_blocks_to_match * self.block_tokens or None
