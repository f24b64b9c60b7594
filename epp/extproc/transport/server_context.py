"""The `ssl` side of a listening port: renewed files count from the next handshake on."""

from __future__ import annotations

import os
import ssl
import tempfile
from collections.abc import Sequence
from typing import IO

from epp.extproc.transport.client_authorities import ClientAuthorities
from epp.extproc.transport.tls import CertificateError, Certificates
from epp.extproc.transport.tls_policy import TlsPolicy

Material = tuple[tuple[bytes, bytes], str | None]


def server_context(
    certificates: Certificates,
    policy: TlsPolicy,
    protocols: Sequence[str],
    client_authorities: ClientAuthorities | None = None,
) -> ssl.SSLContext:
    """`protocols` for ALPN. With authorities, every client needs a certificate of one of them.

    Raises CertificateError for suites that this OpenSSL does not have.
    """

    def material() -> Material:
        authorities = None if client_authorities is None else client_authorities.current()
        return certificates.current(), authorities

    newest = material()
    renewed = _context(newest, policy, protocols)

    def renew(handshake: ssl.SSLObject, _name: str | None, _context_: ssl.SSLContext) -> None:
        nonlocal newest, renewed
        if (current := material()) != newest:
            newest, renewed = current, _context(current, policy, protocols)
        handshake.context = renewed

    entry = _context(newest, policy, protocols)
    entry.sni_callback = renew
    return entry


def _context(material: Material, policy: TlsPolicy, protocols: Sequence[str]) -> ssl.SSLContext:
    (key, chain), authorities = material
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    least = ssl.TLSVersion.TLSv1_3 if policy.only_1_3 else ssl.TLSVersion.TLSv1_2
    context.minimum_version = least
    if policy.ciphers:
        try:
            context.set_ciphers(policy.cipher_text)
        except ssl.SSLError as error:
            raise CertificateError(
                f"--tls-cipher-suites: {ssl.OPENSSL_VERSION} has none of {policy.cipher_text}"
            ) from error
    context.set_alpn_protocols(list(protocols))
    with _anonymous_file() as file:  # `ssl` reads certificates from files only
        file.write(key + b"\n" + chain)
        file.flush()
        context.load_cert_chain(file.name)
    if authorities is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=authorities)
        # A resumed session would not show its certificate again.
        context.num_tickets = 0
        context.options |= ssl.OP_NO_TICKET
    return context


def _anonymous_file() -> IO[bytes]:
    """In memory where the system can, as the root file system may be read-only."""
    if not hasattr(os, "memfd_create"):
        return tempfile.NamedTemporaryFile()
    file = os.memfd_create("tls")
    return open(f"/proc/self/fd/{file}", "wb", closefd=True, opener=lambda _path, _flags: file)
