"""Handshakes through memory: what a port takes and what it refuses."""

from __future__ import annotations

import datetime
import ssl
from pathlib import Path

import pytest

from epp.extproc.transport.client_authorities import ClientAuthorities
from epp.extproc.transport.server_context import server_context
from epp.extproc.transport.tls import CertificateError, Certificates
from epp.extproc.transport.tls_policy import TlsPolicy, tls_policy
from tests.helpers.certificates import Authority

NOW = datetime.datetime.now(datetime.UTC)
RSA_GCM = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"


def client(
    version: ssl.TLSVersion | None = None, certificate: Path | None = None
) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2", "http/1.1"])
    if version is not None:
        context.maximum_version = context.minimum_version = version
    if certificate is not None:
        context.load_cert_chain(certificate)
    return context


def handshake(server: ssl.SSLContext, peer: ssl.SSLContext) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """Server and client side after the handshake. Raises ssl.SSLError where one refuses."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = server.wrap_bio(to_server, to_client, server_side=True)
    theirs = peer.wrap_bio(to_client, to_server)
    open_sides = [theirs, ours]
    for _ in range(10):
        for side in list(open_sides):
            try:
                side.do_handshake()
                open_sides.remove(side)
            except ssl.SSLWantReadError:
                pass
    assert not open_sides
    return ours, theirs


def shown_certificate(side: ssl.SSLObject) -> str:
    der = side.getpeercert(binary_form=True)
    assert der is not None
    return ssl.DER_cert_to_PEM_cert(der)


@pytest.fixture
def certificates() -> Certificates:
    return Certificates.self_signed(NOW)


def test_the_least_version(certificates: Certificates) -> None:
    both = server_context(certificates, TlsPolicy(), ["h2"])
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        handshake(both, client(version))
    newest = server_context(certificates, tls_policy("VersionTLS13", []), ["h2"])
    handshake(newest, client(ssl.TLSVersion.TLSv1_3))
    with pytest.raises(ssl.SSLError):
        handshake(newest, client(ssl.TLSVersion.TLSv1_2))


def test_the_suites_of_1_2() -> None:
    policy = tls_policy("", [RSA_GCM])
    certificates = Certificates.self_signed(NOW, rsa_key=policy.needs_rsa)
    context = server_context(certificates, policy, ["h2"])
    ours, _ = handshake(context, client(ssl.TLSVersion.TLSv1_2))
    assert (ours.cipher() or ("",))[0] == "ECDHE-RSA-AES128-GCM-SHA256"
    other = client(ssl.TLSVersion.TLSv1_2)
    other.set_ciphers("ECDHE-RSA-AES256-GCM-SHA384")
    with pytest.raises(ssl.SSLError):
        handshake(context, other)
    handshake(context, client(ssl.TLSVersion.TLSv1_3))  # its suites stay


def test_suites_that_this_openssl_does_not_have(certificates: Certificates) -> None:
    with pytest.raises(CertificateError, match=r"--tls-cipher-suites: OpenSSL .* RC4-SHA"):
        server_context(certificates, tls_policy("", ["TLS_RSA_WITH_RC4_128_SHA"]), ["h2"])


def test_the_protocols(certificates: Certificates) -> None:
    for protocol in ("h2", "http/1.1"):
        _, theirs = handshake(server_context(certificates, TlsPolicy(), [protocol]), client())
        assert theirs.selected_alpn_protocol() == protocol


def test_a_renewed_certificate_is_shown_from_the_next_handshake_on(tmp_path: Path) -> None:
    def write() -> str:
        key, chain = Certificates.self_signed(NOW).current()
        (tmp_path / "tls.key").write_bytes(key)
        (tmp_path / "tls.crt").write_bytes(chain)
        return chain.decode()

    first = write()
    context = server_context(Certificates.from_folder(tmp_path, reload=True), TlsPolicy(), ["h2"])
    assert shown_certificate(handshake(context, client())[1]).strip() == first.strip()
    second = write()
    assert shown_certificate(handshake(context, client())[1]).strip() == second.strip()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_clients_need_a_certificate_of_the_authorities_and_these_can_change(
    tmp_path: Path, certificates: Certificates, version: ssl.TLSVersion
) -> None:
    my_authority, your_authority = Authority("mine"), Authority("yours")
    mine = my_authority.client().write(tmp_path / "mine.pem")
    yours = your_authority.client().write(tmp_path / "yours.pem")
    file = tmp_path / "ca.crt"
    file.write_bytes(my_authority.certificate)
    context = server_context(certificates, TlsPolicy(), ["http/1.1"], ClientAuthorities(file))
    handshake(context, client(version, mine))
    for certificate in (None, yours):
        with pytest.raises(ssl.SSLError):
            handshake(context, client(version, certificate))
    file.write_bytes(your_authority.certificate)
    handshake(context, client(version, yours))
    with pytest.raises(ssl.SSLError):
        handshake(context, client(version, mine))
