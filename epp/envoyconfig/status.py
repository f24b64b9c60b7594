"""What probes and Prometheus may read of Envoy: two pages of the admin interface, nothing else."""

from __future__ import annotations

from epp.envoyconfig.clusters import ADMIN_CLUSTER
from epp.envoyconfig.filters import router
from epp.envoyconfig.protojson import Json, address, typed

STATUS_LISTENER = "status"
PAGES = ("/ready", "/stats/prometheus")  # the admin interface itself can stop Envoy


def status_listener(host: str, port: int) -> Json:
    return {
        "name": STATUS_LISTENER,
        "address": address(host, port),
        "filter_chains": [{"filters": [_connection_manager()]}],
    }


def _connection_manager() -> Json:
    routes = [{"match": {"path": page}, "route": {"cluster": ADMIN_CLUSTER}} for page in PAGES]
    return typed(
        "envoy.filters.network.http_connection_manager",
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix=STATUS_LISTENER,
        route_config={"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
        http_filters=[router()],
    )
