"""The authorities that clients of a port must have their certificates from, renewed in a file."""

from __future__ import annotations

import os
from pathlib import Path

from cryptography import x509

from epp.extproc.transport.tls import CertificateError


class ClientAuthorities:
    """A file with one or more PEM certificates. Looked at again at every use."""

    def __init__(self, file: Path) -> None:
        """Raises CertificateError."""
        self._file = file
        self._seen = _stamp(file)
        self._text = _read(file)

    def current(self) -> str:
        """PEM. A renewed file that cannot be read leaves the last good one in use."""
        if (stamp := _stamp(self._file)) != self._seen:
            try:
                self._text = _read(self._file)
            except CertificateError:
                return self._text  # half-written: looked at again at the next handshake
            self._seen = stamp
        return self._text


def _stamp(file: Path) -> tuple[int, int, int] | None:
    try:
        state = os.stat(file)
    except OSError:
        return None
    return (state.st_ino, state.st_mtime_ns, state.st_size)


def _read(file: Path) -> str:
    try:
        data = file.read_bytes()
    except OSError as error:
        raise CertificateError(f"{error.filename}: {error.strerror}") from error
    try:
        x509.load_pem_x509_certificates(data)
        return data.decode("ascii")
    except ValueError as error:
        raise CertificateError(f"{file}: not PEM certificates: {error}") from error
