"""`make check-gen` notices every way in which a generated file can be stale."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def generate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The tool, looking at a tree of this test's own."""
    spec = importlib.util.spec_from_file_location("generate", ROOT / "tools" / "generate.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "generate", module)
    spec.loader.exec_module(module)
    module.ROOT = tmp_path / "tree"
    return module


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(
    ("committed", "fresh", "stale"),
    [
        ({"made/a.py": "1"}, {"made/a.py": "1"}, []),
        ({"made/a.py": "1"}, {"made/a.py": "2"}, ["made/a.py"]),
        ({}, {"made/a.py": "1"}, ["made/a.py"]),
        ({"made/gone.py": "1"}, {}, ["made/gone.py"]),
        ({"one.json": "1"}, {"one.json": "1"}, []),
        ({"one.json": "1"}, {"one.json": "2"}, ["one.json"]),
        ({"made/__pycache__/a.pyc": "1"}, {}, []),
        ({"elsewhere/a.py": "1"}, {}, []),
    ],
)
def test_stale_files(
    generate: ModuleType, tmp_path: Path, committed: dict[str, str], fresh: dict[str, str], stale: list[str]
) -> None:
    for name, text in committed.items():
        write(tmp_path / "tree" / name, text)
    for name, text in fresh.items():
        write(tmp_path / "fresh" / name, text)
    generator = generate.Generator(("unused",), owns={"made": "made", "one.json": "one.json"})
    found = generate.stale_files(generator, tmp_path / "fresh")
    assert [str(path.relative_to(tmp_path / "tree")) for path in found] == stale
