"""What is listed and watched: a kind of object in one namespace, perhaps narrowed by a selector."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Resource:
    group: str  # empty for the core group
    version: str
    plural: str
    kind: str
    namespace: str
    label_selector: str = ""
    field_selector: str = ""
    required: bool = False  # without it the picker has no endpoints

    @property
    def group_path(self) -> str:
        """Where the API server says which resources the group has in this version."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    @property
    def path(self) -> str:
        return f"{self.group_path}/namespaces/{self.namespace}/{self.plural}"

    @property
    def name(self) -> str:
        """As RBAC messages have it: `pods`, `inferencepools.inference.networking.k8s.io`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def query(self) -> dict[str, str]:
        selectors = {"labelSelector": self.label_selector, "fieldSelector": self.field_selector}
        return {name: text for name, text in selectors.items() if text}
