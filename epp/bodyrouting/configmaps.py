"""ConfigMaps that say which adapters a base model has, as values in the order that counts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from epp.bodyrouting.basemodel_documents import decode_data
from epp.bodyrouting.basemodels import Entries, Entry
from epp.datalayer.discovery.kubernetes.fields import (
    BadField,
    Json,
    mapping_at,
    name_at,
    text_at,
)

# What the Go router and its successor watch; a ConfigMap may have either label, or both.
SELECTORS: Final = (
    "inference.networking.k8s.io/bbr-managed=true",
    "inference.llm-d.ai/ipp-managed=true",
)


@dataclass(frozen=True, slots=True)
class ConfigMap:
    created: str  # RFC 3339 in UTC, which sorts as text
    entry: Entry


def read_config_map(raw: Json) -> ConfigMap:
    """Raises BadField, naming the field."""
    metadata = mapping_at(raw, "metadata")
    name_at(metadata, "name", "metadata")
    try:
        entry = decode_data(mapping_at(raw, "data"))
    except BadField:
        raise
    except ValueError as error:
        raise BadField(str(error)) from None
    return ConfigMap(text_at(metadata, "creationTimestamp", "metadata"), entry)


def entries_of(found: Iterable[Mapping[tuple[str, str], ConfigMap]]) -> Entries:
    """Oldest first, then by namespace and name: that is who has a name which two claim."""
    every = {key: each for objects in found for key, each in objects.items()}
    ordered = sorted(every.items(), key=lambda item: (item[1].created, item[0]))
    return [(f"ConfigMap {key[0]}/{key[1]}", each.entry) for key, each in ordered]
