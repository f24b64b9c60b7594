"""The certificate of the ext-proc port: given in a folder and renewed there, or self-signed."""

from __future__ import annotations

import datetime
import os
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

VALIDITY = datetime.timedelta(days=3650)
RSA_BITS = 2048


class CertificateError(Exception):
    """The certificate cannot be used; the message names the file."""


class Certificates:
    """A private key and certificate chain, both PEM."""

    def __init__(self, key: bytes, chain: bytes, folder: Path | None = None) -> None:
        self._pair = (key, chain)
        self._folder = folder  # looked at again at every use; None: never
        self._seen = _stamp(folder) if folder is not None else None

    @classmethod
    def from_folder(cls, folder: Path, *, reload: bool) -> Certificates:
        """Reads `tls.crt` and `tls.key`. Raises CertificateError."""
        key, chain = _read(folder)
        return cls(key, chain, folder if reload else None)

    @classmethod
    def self_signed(cls, now: datetime.datetime, *, rsa_key: bool = False) -> Certificates:
        """An elliptic key takes a millisecond, so the port listens at once; RSA a tenth second."""
        key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey = (
            rsa.generate_private_key(65537, RSA_BITS)
            if rsa_key
            else ec.generate_private_key(ec.SECP256R1())
        )
        name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "epp")])
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + VALIDITY)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .sign(key, hashes.SHA256())
        )
        pem = serialization.Encoding.PEM
        return cls(
            key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
            certificate.public_bytes(pem),
        )

    def current(self) -> tuple[bytes, bytes]:
        """Key and chain. A renewed pair that cannot be read leaves the last good one in use."""
        if self._folder is not None and (stamp := _stamp(self._folder)) != self._seen:
            try:
                self._pair = _read(self._folder)
            except CertificateError:
                return self._pair  # half-written: looked at again at the next handshake
            self._seen = stamp
        return self._pair


def _stamp(folder: Path) -> tuple[tuple[int, int, int], ...] | None:
    try:
        states = [os.stat(folder / name) for name in ("tls.crt", "tls.key")]
    except OSError:
        return None
    return tuple((state.st_ino, state.st_mtime_ns, state.st_size) for state in states)


def _read(folder: Path) -> tuple[bytes, bytes]:
    chain_file, key_file = folder / "tls.crt", folder / "tls.key"
    try:
        chain, key = chain_file.read_bytes(), key_file.read_bytes()
    except OSError as error:
        raise CertificateError(f"{error.filename}: {error.strerror}") from error
    try:
        certificate = x509.load_pem_x509_certificates(chain)[0]
    except (ValueError, IndexError) as error:
        raise CertificateError(f"{chain_file}: not a PEM certificate: {error}") from error
    try:
        private = serialization.load_pem_private_key(key, password=None)
    except (ValueError, TypeError) as error:
        raise CertificateError(f"{key_file}: not a PEM private key: {error}") from error
    if private.public_key() != certificate.public_key():
        raise CertificateError(f"{key_file}: does not belong to the certificate {chain_file}")
    return key, chain
