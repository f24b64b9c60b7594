from __future__ import annotations

import pytest

from epp.prefixcache.settings import PrefixCacheSettings


@pytest.mark.parametrize(
    ("fields", "block_tokens", "max_tokens"),
    [
        pytest.param({}, 64, 131_072, id="defaults"),
        pytest.param({"block_size_tokens": 128}, 128, 131_072, id="larger-blocks"),
        pytest.param({"block_size": 256}, 256, 131_072, id="deprecated-name"),
        pytest.param({"block_size_tokens": 32, "block_size": 256}, 64, 131_072, id="new-name-wins"),
        pytest.param({"max_prefix_tokens_to_match": 0}, 64, 131_072, id="blocks-limit"),
        pytest.param(
            {"max_prefix_tokens_to_match": 0, "max_prefix_blocks_to_match": 0},
            64,
            None,
            id="no-limit",
        ),
    ],
)
def test_in_effect(fields: dict[str, int], block_tokens: int, max_tokens: int | None) -> None:
    settings = PrefixCacheSettings(**fields)  # type: ignore[arg-type]
    assert (settings.block_tokens, settings.max_tokens) == (block_tokens, max_tokens)


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"block_size_tokens": 0}, "blockSizeTokens"),
        ({"lru_capacity_per_server": -1}, "lruCapacityPerServer"),
        ({"max_prefix_tokens_to_match": -1}, "maxPrefixTokensToMatch"),
    ],
)
def test_wrong_parameters_are_named_as_in_the_document(fields: dict[str, int], name: str) -> None:
    with pytest.raises(ValueError, match=name):
        PrefixCacheSettings(**fields)  # type: ignore[arg-type]
