"""Shadow profiles beside a document, and a picker that they look on in."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from epp.shadow.comparison import Shadowing


@dataclass
class Stopwatch:
    """Moves by hand, or by itself a little whenever somebody looks."""

    now: float = 0.0
    step: float = 0.0

    def __call__(self) -> float:
        self.now += self.step
        return self.now


@dataclass
class Watching:
    """What a test gives its shadows, and what it hears of them."""

    clock: Callable[[], float] = field(default_factory=Stopwatch)
    failures: list[tuple[str, Exception]] = field(default_factory=list)

    @property
    def shadowing(self) -> Shadowing:
        return Shadowing(self.clock, random.Random(3), self._failed)

    def _failed(self, profile: str, error: Exception) -> None:
        self.failures.append((profile, error))


def with_shadow(
    document: Mapping[str, Any],
    plugins: Sequence[Mapping[str, Any]],
    weights: Sequence[float] = (),
    *,
    name: str = "shadow",
    max_loop_share: float = 1.0,
) -> dict[str, Any]:
    """With plugins of its own: the names of the document's stay free for those."""
    found = deepcopy(dict(document))
    given = [{**plugin, "name": f"{name}-{n}"} for n, plugin in enumerate(plugins)]
    profile = {
        "name": name,
        "maxLoopShare": max_loop_share,
        "plugins": [
            {"pluginRef": plugin["name"], **({"weight": weights[n]} if n < len(weights) else {})}
            for n, plugin in enumerate(given)
        ],
    }
    found["plugins"] = [*found["plugins"], *given]
    found["shadowProfiles"] = [*found.get("shadowProfiles", []), profile]
    return found


def its_twin(document: Mapping[str, Any], name: str = "twin") -> dict[str, Any]:
    """With a shadow of the very plugins of the profile that decides."""
    [profile] = document["schedulingProfiles"]
    twin = {"name": name, "plugins": profile["plugins"], "maxLoopShare": 1.0}
    found = deepcopy(dict(document))
    found["shadowProfiles"] = [*found.get("shadowProfiles", []), twin]
    return found
