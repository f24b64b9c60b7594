"""The documents by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Final

# For fleets whose servers have roles: of those that only compute prompts, or only encode images.
DISAGGREGATED: Final[Mapping[str, Sequence[str]]] = {
    "prefill": ("prefill-decode", "prefill-decode-by-cost"),
    "encode": ("encode-apart", "encode-apart-by-cost"),
}

POLICIES: Final = (
    "random",
    "round-robin",
    "least-request",
    "power-of-two",
    "blend",
    "blend-lora",
    "sticky",
    "lmetric",
    "dynamo",
    "marginal-cost",
    *DISAGGREGATED["prefill"],
    *DISAGGREGATED["encode"],
)


def policy(name: str) -> str:
    """The document, as YAML text. Raises ValueError for a name that is not in POLICIES."""
    if name not in POLICIES:
        raise ValueError(f"no policy {name!r}; there are {', '.join(POLICIES)}")
    return files(__package__).joinpath(f"{name}.yaml").read_text(encoding="utf-8")
