"""Every unit test file has its module at the mirrored path, and every plugin has its test."""

from __future__ import annotations

from pathlib import Path

import pytest

UNIT = Path(__file__).parents[1] / "unit"
EPP = Path(__file__).parents[2] / "epp"
EXEMPT = {"_pb"}  # generated code is tested as a whole


@pytest.mark.parametrize(
    "test",
    sorted(
        test for test in UNIT.rglob("test_*.py") if test.relative_to(UNIT).parts[0] not in EXEMPT
    ),
    ids=lambda path: str(path.relative_to(UNIT)),
)
def test_has_its_module(test: Path) -> None:
    relative = test.relative_to(UNIT)
    words = test.stem.removeprefix("test_").split("_")
    # `test_connection_fuzz.py` is one view of `connection.py`.
    names = ["_".join(words[:count]) for count in range(1, len(words) + 1)]
    assert any((EPP / relative.with_name(f"{name}.py")).exists() for name in names)


@pytest.mark.parametrize(
    "plugin", sorted((EPP / "scheduling/plugins").glob("[!_]*.py")), ids=lambda path: path.stem
)
def test_every_plugin_has_tests(plugin: Path) -> None:
    assert (UNIT / "scheduling/plugins" / f"test_{plugin.name}").exists()


@pytest.mark.parametrize(
    "module",
    sorted(path for path in EPP.rglob("*.py") if "_pb" not in path.parts),
    ids=lambda path: str(path.relative_to(EPP)),
)
def test_every_module_says_what_it_is_for(module: Path) -> None:
    first = module.read_text(encoding="utf-8").lstrip()
    assert first.startswith('"""')
    purpose = first[3 : first.index('"""', 3)]
    assert 1 <= len(purpose.strip().splitlines()) <= 8
