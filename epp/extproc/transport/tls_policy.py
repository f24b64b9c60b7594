"""Which TLS versions and cipher suites a port takes: from Go's names to OpenSSL's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

# Go's name of a version → whether it leaves only TLS 1.3. Less than 1.2 is never taken (RFC 8996).
VERSIONS = {
    "": False,
    "VersionTLS10": False,
    "VersionTLS11": False,
    "VersionTLS12": False,
    "VersionTLS13": True,
}

# The suites of TLS 1.3 are always on where TLS 1.3 is, in Go as in OpenSSL.
SUITES_1_3 = (
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
)
# Of TLS 1.2, those that Go calls secure, then those that it calls insecure.
SUITES_1_2 = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_RSA_WITH_RC4_128_SHA": "RC4-SHA",
    "TLS_RSA_WITH_3DES_EDE_CBC_SHA": "DES-CBC3-SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA": "AES128-SHA",
    "TLS_RSA_WITH_AES_256_CBC_SHA": "AES256-SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA256": "AES128-SHA256",
    "TLS_RSA_WITH_AES_128_GCM_SHA256": "AES128-GCM-SHA256",
    "TLS_RSA_WITH_AES_256_GCM_SHA384": "AES256-GCM-SHA384",
    "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA": "ECDHE-ECDSA-RC4-SHA",
    "TLS_ECDHE_RSA_WITH_RC4_128_SHA": "ECDHE-RSA-RC4-SHA",
    "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA": "ECDHE-RSA-DES-CBC3-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256": "ECDHE-ECDSA-AES128-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256": "ECDHE-RSA-AES128-SHA256",
}


@dataclass(frozen=True, slots=True)
class TlsPolicy:
    only_1_3: bool = False
    ciphers: tuple[str, ...] = ()  # OpenSSL's names, for TLS 1.2; none: the library's own choice

    @property
    def needs_rsa(self) -> bool:
        """No suite of the list goes with an elliptic key."""
        rsa_only = (not cipher.startswith("ECDHE-ECDSA") for cipher in self.ciphers)
        return bool(self.ciphers) and all(rsa_only)

    @property
    def cipher_text(self) -> str:
        return ":".join(self.ciphers)


def tls_policy(min_version: str, suites: Sequence[str]) -> TlsPolicy:
    """From the flags, in Go's names. Raises ValueError that names the flag and the word."""
    if min_version not in VERSIONS:
        known = ", ".join(name for name in VERSIONS if name)
        raise ValueError(f"--tls-min-version: {min_version!r} is not one of {known}")
    unknown = [name for name in suites if name not in SUITES_1_2 and name not in SUITES_1_3]
    if unknown:
        raise ValueError(f"--tls-cipher-suites: {', '.join(unknown)}: no such suite")
    ciphers = tuple(dict.fromkeys(SUITES_1_2[name] for name in suites if name in SUITES_1_2))
    # A list without a suite of TLS 1.2 leaves nothing to speak 1.2 with.
    only_1_3 = VERSIONS[min_version] or (bool(suites) and not ciphers)
    return TlsPolicy(only_1_3, () if only_1_3 else ciphers)
