"""A certificate authority made on the spot, and what it issues to servers, clients and users."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFETIME = datetime.timedelta(days=1)
CLOCK_TOLERANCE = datetime.timedelta(minutes=5)
LOOPBACK = ("127.0.0.1",)


@dataclass(frozen=True, slots=True)
class KeyPair:
    """Two files: what is shown to others, and what is kept."""

    public: Path  # a certificate, or a bare public key
    private: Path


@dataclass(frozen=True, slots=True)
class Issued:
    """Key, and certificate or bare public key, all PEM."""

    key: bytes
    certificate: bytes

    def write(self, file: Path) -> Path:
        """Both in one file, as `ssl` takes a client's."""
        file.write_bytes(self.key + self.certificate)
        return file

    def write_pair(self, folder: Path, name: str) -> KeyPair:
        """`<name>.crt` and `<name>.key`."""
        pair = KeyPair(folder / f"{name}.crt", folder / f"{name}.key")
        pair.private.write_bytes(self.key)
        pair.public.write_bytes(self.certificate)
        return pair


class Authority:
    def __init__(self, name: str = "authority") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = (
            _blank(self._name, self._name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
        )
        self.certificate = builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM)

    def client(self, user: str = "client", groups: Sequence[str] = ()) -> Issued:
        """A user as Kubernetes reads one: the common name, with organizations for groups."""
        return self._issue(user, groups, ExtendedKeyUsageOID.CLIENT_AUTH, ())

    def server(self, name: str, addresses: Sequence[str] = LOOPBACK) -> Issued:
        return self._issue(name, (), ExtendedKeyUsageOID.SERVER_AUTH, addresses)

    def trust(self, client: Path | KeyPair | None = None) -> ssl.SSLContext:
        """Of one who believes this authority alone, and shows a certificate if one is given."""
        context = ssl.create_default_context(cadata=self.certificate.decode())
        if isinstance(client, KeyPair):
            context.load_cert_chain(client.public, client.private)
        elif client is not None:
            context.load_cert_chain(client)
        return context

    def _issue(
        self,
        name: str,
        organizations: Sequence[str],
        purpose: x509.ObjectIdentifier,
        addresses: Sequence[str],
    ) -> Issued:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, one) for one in organizations]
        subject.append(x509.NameAttribute(NameOID.COMMON_NAME, name))
        issuer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = (
            _blank(x509.Name(subject), self._name, key.public_key())
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(issuer_key, critical=False)
        )
        if addresses:
            names = [x509.IPAddress(ipaddress.ip_address(one)) for one in addresses]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        return Issued(_private_pem(key), certificate.public_bytes(Encoding.PEM))


def bare_keys() -> Issued:
    """Without a certificate, as service account tokens are signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return Issued(_private_pem(key), public)


def _blank(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_TOLERANCE)
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
