"""Which build of this package runs: the sources as they are, or a compiled copy of these sources.

`scripts/compile.py` makes the copy. One that was made of other sources is never used, so an edit
always counts. `EPP_COMPILED` is `never` or `always` where it should not depend on what is there.
"""

from __future__ import annotations

import hashlib
import os
import sysconfig
from pathlib import Path

VARIABLE = "EPP_COMPILED"
STAMP = "made-of"  # in the build: the fingerprint of what it was made of


def fingerprint(package: Path) -> str:
    """Of every file below the package, and of the interpreter that can load what is compiled."""
    digest = hashlib.blake2b(str(sysconfig.get_config_var("EXT_SUFFIX")).encode(), digest_size=16)
    for file in sorted(package.rglob("*")):
        if file.is_file() and file.suffix != ".pyc":
            content = file.read_bytes()
            digest.update(f"\0{file.relative_to(package)}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def build_of(package: Path) -> Path:
    """Where the compiled copy of a checkout's package is, if there is one."""
    return package.parent / "build" / "compiled"


def current_build(package: Path) -> Path | None:
    """The compiled copy if it is to be used. Raises ImportError if it must be and cannot."""
    wish = os.environ.get(VARIABLE, "")
    if wish not in ("", "never", "always"):
        raise ImportError(f"{VARIABLE}: {wish!r} is neither `never` nor `always`")
    if wish == "never":
        return None
    build = build_of(package)
    stamp = build / STAMP
    if stamp.is_file() and stamp.read_text() == fingerprint(package):
        return build
    if wish == "always":
        state = "was made of other sources" if stamp.is_file() else "is missing"
        raise ImportError(f"{VARIABLE}=always: {build} {state}; `make compiled` makes it")
    return None
