"""LoRA adapters on the accelerator: which fit one batch, and which must be loaded first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Set


class AdapterSlots:
    """At most `capacity` adapters are loaded; the least recently used gives way."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.first_loads = 0  # of an adapter that was never there: from disk, not host memory
        self._known: set[str] = set()
        self._loaded: OrderedDict[str, None] = OrderedDict()

    def fits(self, adapter: str, in_batch: Set[str]) -> bool:
        """Whether a batch with these adapters can take a request for `adapter`."""
        return not adapter or adapter in in_batch or len(in_batch) < self.capacity

    def is_loaded(self, adapter: str) -> bool:
        return adapter in self._loaded

    def was_loaded(self, adapter: str) -> bool:
        """Now or before."""
        return adapter in self._known

    def use(self, adapters: Set[str]) -> int:
        """Note what a batch uses. Returns how many adapters have to be loaded for it."""
        loads = 0
        for adapter in sorted(adapters):
            if adapter in self._loaded:
                self._loaded.move_to_end(adapter)
            else:
                self._loaded[adapter] = None
                loads += 1
                if adapter not in self._known:
                    self._known.add(adapter)
                    self.first_loads += 1
        while len(self._loaded) > self.capacity:
            self._loaded.popitem(last=False)
        return loads
