"""How long an engine step takes on known hardware.

Constants are fits of published kernel profiles; the step time is
overhead + sqrt(weights² + (compute · tokens)²) + communication + attention + per-sequence cost.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

LARGE_BATCH_TOKENS = 8192
SMALL_BATCH_TOKENS = 2048


@dataclass(frozen=True, slots=True)
class HardwareProfile:
    """One model on one kind of accelerator."""

    host_seconds: float  # launch overhead of a step
    weights_seconds: float  # reading all weights once: the floor of a step
    token_seconds: float  # compute per token
    communication_seconds: float  # all-reduce floor of tensor parallelism
    sequence_seconds: float  # host cost per sequence in the batch
    context_seconds: float  # reading one cached token in a decode
    pair_seconds: float  # attention of one prompt token to one earlier token
    encoder_token_seconds: float  # the vision encoder's, for each token that an image becomes
    kv_cache_tokens: int  # that fit beside the weights
    kv_cache_token_bytes: int  # keys and values of one token, in all layers
    embedding_token_bytes: int  # of an image, as the vision encoder gives it
    max_num_batched_tokens: int  # vLLM's default token budget of a step there

    def step_seconds(
        self, tokens: int, sequences: int, decode_context: float, prefill_pairs: float
    ) -> float:
        """Duration of a step without jitter.

        `decode_context` is the context length summed over decodes, `prefill_pairs` the sum of
        n · (context + n / 2) over prefill chunks of n tokens.
        """
        return (
            self.host_seconds
            + math.hypot(self.weights_seconds, self.token_seconds * tokens)
            + self.communication_seconds
            + self.pair_seconds * prefill_pairs
            + self.context_seconds * decode_context
            + self.sequence_seconds * sequences
        )


def _profile(
    *,
    host_ms: float,
    weights_ms: float,
    token_us: float,
    communication_ms: float,
    context_ns: float,
    pair_ns: float,
    encoder_token_us: float,
    kv_cache_tokens: int,
    kv_cache_token_bytes: int,
    embedding_token_bytes: int,
    max_num_batched_tokens: int,
) -> HardwareProfile:
    return HardwareProfile(
        host_seconds=host_ms * 1e-3,
        weights_seconds=weights_ms * 1e-3,
        token_seconds=token_us * 1e-6,
        communication_seconds=communication_ms * 1e-3,
        sequence_seconds=10e-6,
        context_seconds=context_ns * 1e-9,
        pair_seconds=pair_ns * 1e-9,
        encoder_token_seconds=encoder_token_us * 1e-6,
        kv_cache_tokens=kv_cache_tokens,
        kv_cache_token_bytes=kv_cache_token_bytes,
        embedding_token_bytes=embedding_token_bytes,
        max_num_batched_tokens=max_num_batched_tokens,
    )


# 16-bit keys and values: 2 x layers x 8 heads of keys and values x 128 numbers x 2 bytes.
KV_CACHE_TOKEN_BYTES: Mapping[str, int] = {
    "8b": 131_072,  # 32 layers
    "32b": 262_144,  # 64 layers
    "70b": 327_680,  # 80 layers
}

# 16-bit embeddings of the width of the model.
EMBEDDING_TOKEN_BYTES: Mapping[str, int] = {"8b": 8192, "32b": 10_240, "70b": 16_384}

# By accelerator; several of them take an image each. The vision encoder of Qwen2.5-VL has 0.64
# billion weights and reads four patches for a token, a third of what eight billion weights compute
# for one; its matrices are narrower, so two thirds of their time are assumed.
ENCODER_TOKEN_US: Mapping[str, float] = {"h100": 20, "a100": 59, "l40s": 67, "l4": 180}

PROFILES: Mapping[str, HardwareProfile] = {
    "8b-h100": _profile(
        host_ms=1.0,
        weights_ms=6.0,
        token_us=31,
        communication_ms=0,
        context_ns=56,
        pair_ns=1.3,
        encoder_token_us=ENCODER_TOKEN_US["h100"],
        kv_cache_tokens=400_000,
        kv_cache_token_bytes=KV_CACHE_TOKEN_BYTES["8b"],
        embedding_token_bytes=EMBEDDING_TOKEN_BYTES["8b"],
        max_num_batched_tokens=LARGE_BATCH_TOKENS,
    ),
    "8b-a100": _profile(
        host_ms=1.2,
        weights_ms=9.8,
        token_us=89,
        communication_ms=0,
        context_ns=92,
        pair_ns=3.5,
        encoder_token_us=ENCODER_TOKEN_US["a100"],
        kv_cache_tokens=400_000,
        kv_cache_token_bytes=KV_CACHE_TOKEN_BYTES["8b"],
        embedding_token_bytes=EMBEDDING_TOKEN_BYTES["8b"],
        max_num_batched_tokens=SMALL_BATCH_TOKENS,
    ),
    "8b-l40s": _profile(
        host_ms=1.2,
        weights_ms=23,
        token_us=100,
        communication_ms=0,
        context_ns=220,
        pair_ns=4.5,
        encoder_token_us=ENCODER_TOKEN_US["l40s"],
        kv_cache_tokens=190_000,
        kv_cache_token_bytes=KV_CACHE_TOKEN_BYTES["8b"],
        embedding_token_bytes=EMBEDDING_TOKEN_BYTES["8b"],
        max_num_batched_tokens=SMALL_BATCH_TOKENS,
    ),
    "8b-l4": _profile(
        host_ms=1.5,
        weights_ms=67,
        token_us=270,
        communication_ms=0,
        context_ns=620,
        pair_ns=11,
        encoder_token_us=ENCODER_TOKEN_US["l4"],
        kv_cache_tokens=33_000,
        kv_cache_token_bytes=KV_CACHE_TOKEN_BYTES["8b"],
        embedding_token_bytes=EMBEDDING_TOKEN_BYTES["8b"],
        max_num_batched_tokens=SMALL_BATCH_TOKENS,
    ),
    "32b-h100-tp2": _profile(
        host_ms=1.2,
        weights_ms=12.5,
        token_us=63,
        communication_ms=5,
        context_ns=56,
        pair_ns=1.6,
        encoder_token_us=ENCODER_TOKEN_US["h100"],
        kv_cache_tokens=308_000,  # of a published run; 277 000 by the memory that is left
        kv_cache_token_bytes=KV_CACHE_TOKEN_BYTES["32b"],
        embedding_token_bytes=EMBEDDING_TOKEN_BYTES["32b"],
        max_num_batched_tokens=LARGE_BATCH_TOKENS,
    ),
    "70b-h100-tp4": _profile(
        host_ms=1.2,
        weights_ms=15,
        token_us=75,
        communication_ms=6,
        context_ns=35,
        pair_ns=1.7,
        encoder_token_us=ENCODER_TOKEN_US["h100"],
        kv_cache_tokens=412_000,
        kv_cache_token_bytes=KV_CACHE_TOKEN_BYTES["70b"],
        embedding_token_bytes=EMBEDDING_TOKEN_BYTES["70b"],
        max_num_batched_tokens=LARGE_BATCH_TOKENS,
    ),
    "70b-h100-tp8": _profile(
        host_ms=1.2,
        weights_ms=9.2,
        token_us=40,
        communication_ms=5,
        context_ns=17.5,
        pair_ns=0.85,
        encoder_token_us=ENCODER_TOKEN_US["h100"],
        kv_cache_tokens=1_250_000,
        kv_cache_token_bytes=KV_CACHE_TOKEN_BYTES["70b"],
        embedding_token_bytes=EMBEDDING_TOKEN_BYTES["70b"],
        max_num_batched_tokens=LARGE_BATCH_TOKENS,
    ),
}
