"""Find plugin classes: those in the folder `plugins`, and those that other packages offer."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterable, Mapping
from importlib.metadata import entry_points
from types import ModuleType

from epp.scheduling import plugins
from epp.scheduling.interfaces import Plugin

ENTRY_POINT_GROUP = "epp.scheduling"


class DuplicateType(Exception):
    """Two classes have one `type_name`."""


def discover() -> Mapping[str, type[Plugin]]:
    """By `type_name`. Imports every module in the folder and every offered object."""
    found: dict[str, type[Plugin]] = {}
    for info in pkgutil.iter_modules(plugins.__path__, f"{plugins.__name__}."):
        _add(found, _plugin_classes(importlib.import_module(info.name)))
    for offer in entry_points(group=ENTRY_POINT_GROUP):
        loaded = offer.load()
        if inspect.isclass(loaded) and issubclass(loaded, Plugin):
            _add(found, [loaded])
        else:
            _add(found, _plugin_classes(loaded))
    return found


def _plugin_classes(module: ModuleType) -> Iterable[type[Plugin]]:
    for _, cls in inspect.getmembers(module, inspect.isclass):
        own = cls.__module__ == module.__name__
        if own and issubclass(cls, Plugin) and not inspect.isabstract(cls):
            yield cls


def _add(found: dict[str, type[Plugin]], classes: Iterable[type[Plugin]]) -> None:
    for cls in classes:
        if (other := found.setdefault(cls.type_name, cls)) is not cls:
            raise DuplicateType(f"{cls.type_name!r} is both {other} and {cls}")
