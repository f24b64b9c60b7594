"""How one simulated model server is set up."""

from __future__ import annotations

from dataclasses import dataclass

from epp.simulation.profiles import PROFILES
from epp.simulation.scheduler import EngineSettings


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """One HTTP port with one engine per data-parallel rank."""

    name: str = "sim"  # sent back in `x-served-by`
    host: str = "127.0.0.1"
    port: int = 0  # 0 takes a free one
    models: tuple[str, ...] = ("sim",)  # served names; the first labels the metrics
    adapters: tuple[str, ...] = ()  # LoRA adapters of the first model
    profile: str = "8b-h100"
    max_model_len_tokens: int = 32_768  # lowered to what the KV cache holds
    max_num_seqs: int = 256
    kv_cache_tokens: int | None = None  # of each rank; None takes the profile's
    block_size_tokens: int = 16
    max_num_batched_tokens: int | None = None  # None takes the profile's
    max_adapters: int = 4  # in one batch
    max_queued_requests: int | None = None  # of each rank; None is no limit
    data_parallel_size: int = 1
    prompt_tokens_details: bool = False  # usage tells cached tokens, as vLLM does when asked to
    seed: int = 0
    speed: float = 1.0  # engine seconds per real second

    def __post_init__(self) -> None:
        if not self.models:
            raise ValueError("models must name at least one model")
        if self.profile not in PROFILES:
            known = ", ".join(PROFILES)
            raise ValueError(f"profile {self.profile!r} is unknown; there are {known}")
        if self.speed <= 0:
            raise ValueError(f"speed must be above 0, not {self.speed}")
        if self.data_parallel_size < 1:
            raise ValueError(
                f"data_parallel_size must be at least 1, not {self.data_parallel_size}"
            )
        if self.max_model_len_tokens < 2:
            least = "a prompt token and an answer token"
            raise ValueError(f"max_model_len_tokens must leave room for {least}")
        if double := set(self.models) & set(self.adapters):
            raise ValueError(f"{min(double)!r} is both a model and an adapter")
        self.engine()  # raises if its limits are out of range

    @property
    def context_tokens(self) -> int:
        """Longest prompt and answer together."""
        engine = self.engine()
        return min(self.max_model_len_tokens, engine.usable_blocks * engine.block_size_tokens)

    def engine(self) -> EngineSettings:
        """Settings of each rank's engine."""
        profile = PROFILES[self.profile]
        tokens = profile.kv_cache_tokens if self.kv_cache_tokens is None else self.kv_cache_tokens
        budget = self.max_num_batched_tokens
        return EngineSettings(
            profile=profile,
            num_blocks=tokens // max(1, self.block_size_tokens),
            block_size_tokens=self.block_size_tokens,
            max_num_batched_tokens=profile.max_num_batched_tokens if budget is None else budget,
            max_num_seqs=self.max_num_seqs,
            max_adapters=self.max_adapters,
            max_queued_requests=self.max_queued_requests,
        )
