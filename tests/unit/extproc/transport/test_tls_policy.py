from __future__ import annotations

import shutil
import subprocess

import pytest

from epp.extproc.transport.tls_policy import SUITES_1_2, SUITES_1_3, TlsPolicy, tls_policy

RSA, ECDSA = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"


@pytest.mark.parametrize(
    ("version", "suites", "policy"),
    [
        ("", [], TlsPolicy()),
        ("VersionTLS10", [], TlsPolicy()),
        ("VersionTLS12", [], TlsPolicy()),
        ("VersionTLS13", [], TlsPolicy(only_1_3=True)),
        ("VersionTLS13", [RSA], TlsPolicy(only_1_3=True)),
        ("", [SUITES_1_3[0]], TlsPolicy(only_1_3=True)),
        ("", [SUITES_1_3[0], RSA], TlsPolicy(ciphers=("ECDHE-RSA-AES128-GCM-SHA256",))),
        (
            "VersionTLS12",
            [ECDSA, RSA, ECDSA],
            TlsPolicy(ciphers=("ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES128-GCM-SHA256")),
        ),
    ],
)
def test_the_names_of_go(version: str, suites: list[str], policy: TlsPolicy) -> None:
    assert tls_policy(version, suites) == policy


@pytest.mark.parametrize(
    ("version", "suites", "text"),
    [
        ("VersionTLS99", [], "--tls-min-version: 'VersionTLS99' is not one of VersionTLS10"),
        ("1.2", [], "--tls-min-version"),
        ("", ["ECDHE-RSA-AES128-GCM-SHA256"], "--tls-cipher-suites: ECDHE-RSA"),
        ("", [RSA, "A", "B"], "--tls-cipher-suites: A, B: no such suite"),
    ],
)
def test_other_names_are_refused(version: str, suites: list[str], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        tls_policy(version, suites)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="the openssl program is not installed")
def test_the_table_agrees_with_openssl() -> None:
    """OpenSSL prints the standard names; suites that it was built without are not judged."""
    listing = subprocess.run(
        ["openssl", "ciphers", "-stdname", "ALL:COMPLEMENTOFALL@SECLEVEL=0"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    standard = {(fields := line.split())[0]: fields[2] for line in listing.splitlines()}
    judged = [name for name in SUITES_1_2 if name in standard]
    assert len(judged) >= 15
    assert {name: standard[name] for name in judged} == {name: SUITES_1_2[name] for name in judged}


@pytest.mark.parametrize(("suites", "needs"), [([], False), ([RSA], True), ([RSA, ECDSA], False)])
def test_suites_without_an_elliptic_one_need_an_rsa_key(suites: list[str], needs: bool) -> None:
    assert tls_policy("", suites).needs_rsa is needs
