from __future__ import annotations

from pathlib import Path

import pytest

from epp.compiled import STAMP, VARIABLE, build_of, current_build, fingerprint


@pytest.fixture
def package(tmp_path: Path) -> Path:
    folder = tmp_path / "epp"
    (folder / "core").mkdir(parents=True)
    (folder / "core" / "words.py").write_text("a = 1\n")
    (folder / "__pycache__").mkdir()
    return folder


def compile_it(package: Path) -> Path:
    build = build_of(package)
    build.mkdir(parents=True)
    (build / STAMP).write_text(fingerprint(package))
    return build


def test_a_build_of_these_sources_is_used(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert current_build(package) is None
    build = compile_it(package)
    assert current_build(package) == build
    (package / "__pycache__" / "words.cpython-311.pyc").write_bytes(b"x")
    assert current_build(package) == build
    monkeypatch.setenv(VARIABLE, "never")
    assert current_build(package) is None


@pytest.mark.parametrize("edit", ["changed", "added", "renamed"])
def test_a_build_of_other_sources_is_not(
    package: Path, monkeypatch: pytest.MonkeyPatch, edit: str
) -> None:
    compile_it(package)
    words = package / "core" / "words.py"
    match edit:
        case "changed":
            words.write_text("a = 2\n")
        case "added":
            (package / "core" / "page.html").write_text("")
        case "renamed":
            words.rename(package / "core" / "terms.py")
    monkeypatch.setenv(VARIABLE, "")
    assert current_build(package) is None
    monkeypatch.setenv(VARIABLE, "always")
    with pytest.raises(ImportError, match="made of other sources; `make compiled`"):
        current_build(package)


def test_what_must_be_compiled_and_is_not(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "always")
    with pytest.raises(ImportError, match="is missing"):
        current_build(package)
    monkeypatch.setenv(VARIABLE, "yes")
    with pytest.raises(ImportError, match="'yes' is neither"):
        current_build(package)
