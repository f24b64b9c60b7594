"""What an endpoint can do for a request, by the label that disaggregated deployments give."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from epp.core.endpoint import Endpoint

ROLE_LABEL: Final = "llm-d.ai/role"

DECODES: Final = frozenset({"decode", "prefill-decode", "both", "encode-prefill-decode"})
PREFILLS: Final = frozenset(
    {"prefill", "encode-prefill", "prefill-decode", "both", "encode-prefill-decode"}
)
ENCODES: Final = frozenset({"encode", "encode-prefill", "encode-prefill-decode"})


def decoders(endpoints: Sequence[Endpoint]) -> list[Endpoint]:
    """Those whose role decodes, and those without a role: a pool without roles decodes."""
    return [e for e in endpoints if (role := e.labels.get(ROLE_LABEL)) is None or role in DECODES]


def prefillers(endpoints: Sequence[Endpoint]) -> list[Endpoint]:
    return [e for e in endpoints if e.labels.get(ROLE_LABEL) in PREFILLS]


def encoders(endpoints: Sequence[Endpoint]) -> list[Endpoint]:
    return [e for e in endpoints if e.labels.get(ROLE_LABEL) in ENCODES]
