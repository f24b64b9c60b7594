"""The metrics port of a real picker without Kubernetes: no tokens, https where it is asked for."""

from __future__ import annotations

import ssl
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from tests.helpers.certificates import Authority
from tests.helpers.picker import PickerProcess, running_picker

SERVERS = ["127.0.0.1:9"]  # nobody listens, and nobody is asked
UNPROTECTED = "/metrics wants no token: endpoints are not from Kubernetes"
NO_ELECTION = "--ha-enable-leader-election: without effect, endpoints are not from Kubernetes"


def page(picker: PickerProcess, tls: ssl.SSLContext | None = None) -> str:
    scheme = "http" if tls is None else "https"
    url = f"{scheme}://127.0.0.1:{picker.metrics_port}/metrics"
    with urlopen(url, timeout=10, context=tls) as answer:
        text: str = answer.read().decode()
        return text


def messages(picker: PickerProcess) -> list[str]:
    """All of its log; the process has ended."""
    return [line["msg"] for line in picker.lines()]


def test_without_kubernetes_there_is_nobody_to_judge_a_token_and_the_log_says_so(
    tmp_path: Path,
) -> None:
    picker = PickerProcess(
        SERVERS, flags=["--metrics-endpoint-auth", "--ha-enable-leader-election"]
    )
    try:
        picker.start()
        assert "llm_d_epp_info" in page(picker)
        picker.signal(2)
        assert picker.wait() == 0
        said = messages(picker)
    finally:
        picker.stop()
    assert said.count(UNPROTECTED) == 1
    assert said.count(NO_ELECTION) == 1


def write_server(authority: Authority, folder: Path) -> None:
    authority.server("picker").write_pair(folder, "tls")


def test_https_with_a_certificate_that_is_renewed_without_a_restart(tmp_path: Path) -> None:
    first, second = Authority("first"), Authority("second")
    write_server(first, tmp_path)
    with running_picker(SERVERS, flags=[f"--metrics-cert-dir={tmp_path}"]) as picker:
        assert "llm_d_epp_info" in page(picker, first.trust())
        with pytest.raises(URLError, match="CERTIFICATE_VERIFY_FAILED"):
            page(picker, second.trust())
        write_server(second, tmp_path)
        assert "llm_d_epp_info" in page(picker, second.trust())


def test_client_certificates(tmp_path: Path) -> None:
    authority, other = Authority("ours"), Authority("theirs")
    write_server(authority, tmp_path)
    (tmp_path / "ca.crt").write_bytes(authority.certificate)
    good = authority.client().write(tmp_path / "good.pem")
    bad = other.client().write(tmp_path / "bad.pem")
    flags = [f"--metrics-cert-dir={tmp_path}", f"--metrics-client-ca-file={tmp_path / 'ca.crt'}"]
    with running_picker(SERVERS, flags=flags) as picker:
        assert "llm_d_epp_info" in page(picker, authority.trust(good))
        for certificate in (None, bad):
            with pytest.raises((URLError, ssl.SSLError, ConnectionError)):
                page(picker, authority.trust(certificate))


@pytest.mark.parametrize("missing", ["tls.crt", "ca.crt"])
def test_files_that_are_missing_are_named(tmp_path: Path, missing: str) -> None:
    write_server(Authority(), tmp_path)
    (tmp_path / "ca.crt").write_bytes(Authority().certificate)
    (tmp_path / missing).unlink()
    flags = [f"--metrics-cert-dir={tmp_path}", f"--metrics-client-ca-file={tmp_path / 'ca.crt'}"]
    picker = PickerProcess(SERVERS, flags=flags)
    try:
        with pytest.raises(RuntimeError, match=f"{missing}: No such file"):
            picker.start()
        assert picker.wait() == 1
    finally:
        picker.stop()
