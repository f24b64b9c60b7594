"""Generate `epp/_pb` from `protos/`, or with `--check` fail if it is not what they yield."""

from __future__ import annotations

import filecmp
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc  # type: ignore[import-untyped]

ROOT = Path(__file__).parents[1]
PROTOS = ROOT / "protos"
PACKAGE = Path("epp/_pb")
INIT = '"""Generated from `protos/` by `make protos`. Not edited by hand."""\n'


def generate(root: Path) -> None:
    """Write the package below `root`. The folders of the sources are those of the package."""
    (root / PACKAGE).mkdir(parents=True, exist_ok=True)
    status = protoc.main(
        [
            "protoc",
            f"--proto_path={PROTOS}",
            f"--proto_path={files('grpc_tools') / '_proto'}",
            f"--python_out={root}",
            f"--pyi_out={root}",
            *map(str, sorted(PROTOS.rglob("*.proto"))),
        ]
    )
    if status != 0:
        sys.exit(f"protoc failed with status {status}")
    (root / PACKAGE / "__init__.py").write_text(INIT, encoding="utf-8")
    for stub in (root / PACKAGE).glob("*.pyi"):
        _complete_types(stub)


def _complete_types(stub: Path) -> None:
    """What protoc leaves bare (`_Mapping`) is an error under strict checking."""
    text = stub.read_text(encoding="utf-8")
    stub.write_text(text.replace("_Mapping]", "_Mapping[str, object]]"), encoding="utf-8")


def check() -> None:
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder))
        fresh, present = Path(folder) / PACKAGE, ROOT / PACKAGE
        names = sorted(path.name for path in fresh.iterdir())
        found = sorted(path.name for path in present.iterdir() if path.suffix in (".py", ".pyi"))
        if names != found:
            sys.exit(f"{PACKAGE} has {found}, protos/ yields {names}: run `make protos`")
        _, differ, errors = filecmp.cmpfiles(fresh, present, names, shallow=False)
        if differ or errors:
            sys.exit(f"{PACKAGE} is not what protos/ yields ({differ + errors}): run `make protos`")


def main() -> None:
    if sys.argv[1:] == ["--check"]:
        check()
    elif sys.argv[1:]:
        sys.exit("usage: generate_protos.py [--check]")
    else:
        generate(ROOT)


if __name__ == "__main__":
    main()
