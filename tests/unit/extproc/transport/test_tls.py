from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from epp.extproc.transport.tls import CertificateError, Certificates

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


def write_pair(folder: Path) -> tuple[bytes, bytes]:
    key, chain = Certificates.self_signed(NOW).current()
    (folder / "tls.key").write_bytes(key)
    (folder / "tls.crt").write_bytes(chain)
    return key, chain


def test_a_self_signed_certificate() -> None:
    _, chain = Certificates.self_signed(NOW).current()
    certificate = x509.load_pem_x509_certificate(chain)
    assert certificate.not_valid_before_utc < NOW
    assert certificate.not_valid_after_utc > NOW + datetime.timedelta(days=3000)


def test_a_renewed_pair_is_used_and_a_broken_one_is_not(tmp_path: Path) -> None:
    first = write_pair(tmp_path)
    certificates = Certificates.from_folder(tmp_path, reload=True)
    assert certificates.current() == first
    second = write_pair(tmp_path)
    assert certificates.current() == second
    (tmp_path / "tls.crt").write_bytes(b"half")
    assert certificates.current() == second
    third = write_pair(tmp_path)
    assert certificates.current() == third


def test_without_reload_the_first_pair_stays(tmp_path: Path) -> None:
    first = write_pair(tmp_path)
    certificates = Certificates.from_folder(tmp_path, reload=False)
    write_pair(tmp_path)
    assert certificates.current() == first


def test_what_cannot_be_used_is_named(tmp_path: Path) -> None:
    with pytest.raises(CertificateError, match=r"tls\.crt"):
        Certificates.from_folder(tmp_path, reload=False)
    write_pair(tmp_path)
    (tmp_path / "tls.key").write_bytes(Certificates.self_signed(NOW).current()[0])
    with pytest.raises(CertificateError, match="does not belong"):
        Certificates.from_folder(tmp_path, reload=False)
    (tmp_path / "tls.key").write_bytes(b"no key")
    with pytest.raises(CertificateError, match=r"tls\.key: not a PEM private key"):
        Certificates.from_folder(tmp_path, reload=False)
    (tmp_path / "tls.crt").write_bytes(b"no certificate")
    with pytest.raises(CertificateError, match=r"tls\.crt: not a PEM certificate"):
        Certificates.from_folder(tmp_path, reload=False)


def test_a_self_signed_certificate_for_suites_that_want_rsa() -> None:
    _, chain = Certificates.self_signed(NOW, rsa_key=True).current()
    key = x509.load_pem_x509_certificate(chain).public_key()
    assert isinstance(key, rsa.RSAPublicKey)
