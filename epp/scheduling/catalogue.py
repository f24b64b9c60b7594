"""Find plugin classes: those in the folder `plugins`, and those that other packages offer."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points
from types import ModuleType

from epp.scheduling import plugins
from epp.scheduling.interfaces import Plugin

ENTRY_POINT_GROUP = "epp.scheduling"


class DuplicateType(Exception):
    """Two classes have one `type_name`."""


class BadOffer(Exception):
    """What another package offers cannot be loaded or is no plugin; the message names it."""


def discover() -> Mapping[str, type[Plugin]]:
    """By `type_name`. Imports every module in the folder and every offered object."""
    found: dict[str, type[Plugin]] = {}
    for info in pkgutil.iter_modules(plugins.__path__, f"{plugins.__name__}."):
        _add(found, _plugin_classes(importlib.import_module(info.name)))
    for offer in entry_points(group=ENTRY_POINT_GROUP):
        _add(found, _offered(offer))
    return found


def _offered(offer: EntryPoint) -> Iterable[type[Plugin]]:
    """A class, or all of a module."""
    name = f"entry point {offer.name} = {offer.value} of {ENTRY_POINT_GROUP}"
    try:
        loaded = offer.load()
    except (ImportError, AttributeError) as error:
        raise BadOffer(f"{name}: {error}") from error
    classes = list(_plugin_classes(loaded)) if inspect.ismodule(loaded) else [loaded]
    if not classes or not all(_is_plugin(cls) for cls in classes):
        raise BadOffer(f"{name}: no plugin with a type_name is there")
    return classes


def _is_plugin(cls: object) -> bool:
    concrete = inspect.isclass(cls) and issubclass(cls, Plugin) and not inspect.isabstract(cls)
    return concrete and isinstance(getattr(cls, "type_name", None), str)


def _plugin_classes(module: ModuleType) -> Iterable[type[Plugin]]:
    for _, cls in inspect.getmembers(module, inspect.isclass):
        own = cls.__module__ == module.__name__
        if own and issubclass(cls, Plugin) and not inspect.isabstract(cls):
            yield cls


def _add(found: dict[str, type[Plugin]], classes: Iterable[type[Plugin]]) -> None:
    for cls in classes:
        if (other := found.setdefault(cls.type_name, cls)) is not cls:
            raise DuplicateType(f"{cls.type_name!r} is both {other} and {cls}")
