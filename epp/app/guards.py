"""What asks the API server beside discovery: the guard of the metrics page, and the election."""

from __future__ import annotations

import functools
import logging
import random
import socket
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from epp.admin.server import AdminAccess
from epp.app.election.election import Election
from epp.app.election.elector import Elector
from epp.app.election.settings import ElectionSettings, lease_name
from epp.app.kubernetes_api import KubernetesApi
from epp.app.metrics_access import admin_access
from epp.app.settings import ServeSettings
from epp.datalayer.discovery.kubernetes.client import connect
from epp.datalayer.discovery.kubernetes.settings import KubernetesSettings
from epp.extproc.health import Health

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Guards:
    access: AdminAccess
    loops: tuple[Callable[[], Awaitable[None]], ...] = ()
    step_down: Callable[[], None] = lambda: None
    closing: tuple[Callable[[], Awaitable[None]], ...] = ()


def guards(
    settings: ServeSettings,
    kubernetes: KubernetesSettings | None,
    health: Health,
    now: Callable[[], float],
) -> Guards:
    """Without Kubernetes nobody is asked for a token and there is no election: the log says so.

    Raises CertificateError.
    """
    if kubernetes is None:
        if settings.metrics_guard.authenticates:
            log.info("/metrics wants no token: endpoints are not from Kubernetes")
        if settings.elects_leader:
            log.warning(
                "--ha-enable-leader-election: without effect, endpoints are not from Kubernetes"
            )
        return Guards(admin_access(settings.metrics_guard, None, now))
    factory = functools.partial(connect, kubernetes.kubeconfig)
    reviews = KubernetesApi(factory, random.Random())
    access = admin_access(settings.metrics_guard, reviews, now)
    if not settings.elects_leader:
        return Guards(access, closing=(reviews.close,))
    election = ElectionSettings(identity=f"{socket.gethostname()}_{uuid.uuid4()}")
    # A call takes half of the time in which a leader must renew, at the most.
    half = election.renew_deadline_seconds / 2
    leases = KubernetesApi(factory, random.Random(), call_seconds=half, attempts=1)
    elector = Elector(
        Election(election, random.Random()),
        leases,
        kubernetes.namespace,
        lease_name(kubernetes.namespace, settings.pool_name),
        health.set_leading,
        now,
    )
    return Guards(access, (elector.run,), elector.resign, (reviews.close, leases.close))
