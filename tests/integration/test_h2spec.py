"""The conformance suite h2spec against the ext-proc port of a real picker process."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.helpers.picker import running_picker

BUILT = Path(__file__).resolve().parents[2] / "build/bin/h2spec"  # by .ci/run
H2SPEC = str(BUILT) if BUILT.exists() else shutil.which("h2spec")


@pytest.mark.skipif(H2SPEC is None, reason="h2spec is not installed; .ci/run builds it with Go")
@pytest.mark.parametrize("secure", [False, True], ids=["plaintext", "tls"])
def test_all_cases_of_h2spec_pass(secure: bool) -> None:
    flags = ["--transport", "http2", f"--secure-serving={str(secure).lower()}"]
    with running_picker(["127.0.0.1:1"], flags=flags) as picker:
        command = [str(H2SPEC), "--strict", "-h", "127.0.0.1", "-p", str(picker.grpc_port)]
        command += ["-t", "-k"] if secure else []
        result = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    summary = re.search(r"(\d+) tests, (\d+) passed, (\d+) skipped, (\d+) failed", result.stdout)
    assert summary is not None, result.stdout + result.stderr
    total, passed, skipped, failed = map(int, summary.groups())
    assert (passed, skipped, failed) == (total, 0, 0), result.stdout
    assert total > 140
