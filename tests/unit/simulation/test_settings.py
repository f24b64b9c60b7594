import pytest

from epp.simulation.settings import ServerSettings


def test_a_profile_sets_what_is_left_open() -> None:
    engine = ServerSettings(profile="8b-l4").engine()
    assert (engine.num_blocks, engine.max_num_batched_tokens) == (33_000 // 16, 2048)


def test_explicit_limits_win() -> None:
    engine = ServerSettings(
        kv_cache_tokens=640, block_size_tokens=32, max_num_batched_tokens=64
    ).engine()
    assert (engine.num_blocks, engine.max_num_batched_tokens) == (20, 64)


def test_the_context_fits_the_cache() -> None:
    assert ServerSettings().context_tokens == 32_768
    assert ServerSettings(kv_cache_tokens=1600).context_tokens == 99 * 16


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        pytest.param({"models": ()}, "models", id="no model"),
        pytest.param({"models": ("a",), "adapters": ("a",)}, "'a'", id="ambiguous name"),
        pytest.param({"profile": "9b"}, "8b-h100", id="unknown profile"),
        pytest.param({"speed": 0}, "speed", id="no speed"),
        pytest.param({"data_parallel_size": 0}, "data_parallel_size", id="no rank"),
        pytest.param({"max_model_len_tokens": 1}, "max_model_len_tokens", id="no context"),
        pytest.param({"kv_cache_tokens": 16}, "num_blocks", id="no cache"),
        pytest.param({"block_size_tokens": 0}, "block_size_tokens", id="no block"),
    ],
)
def test_what_cannot_work_is_refused_by_name(changes: dict[str, object], name: str) -> None:
    with pytest.raises(ValueError, match=name):
        ServerSettings(**changes)  # type: ignore[arg-type]
