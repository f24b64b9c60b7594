from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from epp.extproc.transport.client_authorities import ClientAuthorities
from epp.extproc.transport.tls import CertificateError, Certificates

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


def a_certificate() -> bytes:
    return Certificates.self_signed(NOW).current()[1]


def test_a_renewed_file_counts_and_a_broken_or_missing_one_does_not(tmp_path: Path) -> None:
    file = tmp_path / "ca.crt"
    first = a_certificate()
    file.write_bytes(first)
    authorities = ClientAuthorities(file)
    assert authorities.current().encode() == first
    second = first + a_certificate()
    file.write_bytes(second)
    assert authorities.current().encode() == second
    file.write_bytes(b"half")
    assert authorities.current().encode() == second
    file.unlink()
    assert authorities.current().encode() == second
    third = a_certificate()
    file.write_bytes(third)
    assert authorities.current().encode() == third


@pytest.mark.parametrize("content", [None, b"", b"no certificate"])
def test_what_cannot_be_used_is_named(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "ca.crt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(CertificateError, match=r"ca\.crt"):
        ClientAuthorities(file)
