"""The documents by name."""

from __future__ import annotations

from importlib.resources import files
from typing import Final

# For fleets whose servers have roles.
DISAGGREGATED: Final = ("prefill-decode", "prefill-decode-by-cost")

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
    *DISAGGREGATED,
)


def policy(name: str) -> str:
    """The document, as YAML text. Raises ValueError for a name that is not in POLICIES."""
    if name not in POLICIES:
        raise ValueError(f"no policy {name!r}; there are {', '.join(POLICIES)}")
    return files(__package__).joinpath(f"{name}.yaml").read_text(encoding="utf-8")
