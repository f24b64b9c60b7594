"""The whole configuration that an Envoy process starts with, as a value to be written as JSON."""

from __future__ import annotations

from epp.envoyconfig.clusters import clusters
from epp.envoyconfig.listener import listener
from epp.envoyconfig.protojson import Json, address
from epp.envoyconfig.settings import EnvoySettings
from epp.envoyconfig.status import status_listener


def bootstrap(settings: EnvoySettings) -> Json:
    config: Json = {
        "static_resources": {
            "listeners": _listeners(settings),
            "clusters": clusters(settings),
        }
    }
    if settings.admin_port is not None:
        config["admin"] = {"address": address(settings.admin_host, settings.admin_port)}
    return config


def _listeners(settings: EnvoySettings) -> list[Json]:
    made = [listener(settings)]
    if settings.status_port is not None:
        made.append(status_listener(settings.listen_host, settings.status_port))
    return made
