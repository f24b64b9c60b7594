"""The guard of the metrics port as the settings want it: https, client certificates, tokens."""

from __future__ import annotations

import ssl
from collections.abc import Callable

from epp.admin.access.gate import AccessGate, Create
from epp.admin.access.reviews import Json, ReviewFailed
from epp.admin.server import AdminAccess
from epp.app.kubernetes_api import ApiUnavailable, KubernetesApi
from epp.app.settings import MetricsGuard
from epp.extproc.transport.client_authorities import ClientAuthorities
from epp.extproc.transport.server_context import server_context
from epp.extproc.transport.tls import Certificates
from epp.extproc.transport.tls_policy import TlsPolicy

METRICS_PATH = "/metrics"


def admin_access(
    guard: MetricsGuard, api: KubernetesApi | None, now: Callable[[], float]
) -> AdminAccess:
    """Without an API server nobody can judge a token, so none is asked for.

    Raises CertificateError for files that cannot be used.
    """
    gate = None
    if guard.authenticates and api is not None:
        gate = AccessGate(reviews_through(api), METRICS_PATH, now)
    return AdminAccess(_tls(guard), gate)


def _tls(guard: MetricsGuard) -> ssl.SSLContext | None:
    if guard.cert_folder is None:
        return None
    authorities = None
    if guard.client_ca_file is not None:
        authorities = ClientAuthorities(guard.client_ca_file)
    certificates = Certificates.from_folder(guard.cert_folder, reload=True)
    return server_context(certificates, TlsPolicy(), ["http/1.1"], authorities)


def reviews_through(api: KubernetesApi) -> Create:
    async def create(path: str, body: Json) -> Json:
        try:
            answer = await api.call("POST", path, body)
        except ApiUnavailable as error:
            raise ReviewFailed(str(error), temporary=True) from error
        if not answer.ok:
            temporary = answer.status >= 500 or answer.status == 429
            resource = path.rpartition("/")[2]
            raise ReviewFailed(f"create {resource}: {answer.text}", temporary=temporary)
        return answer.document

    return create
