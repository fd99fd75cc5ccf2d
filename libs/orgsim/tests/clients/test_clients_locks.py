"""The clients' environments are pinned by hash, and their locks name no package index."""

import json
import re
from pathlib import Path

import pytest

LOCKS = Path(__file__).parent / "environments"


@pytest.mark.parametrize("lock", sorted(LOCKS.glob("*.lock")), ids=lambda path: path.stem)
def test_python_locks_pin_every_package_by_hash(lock: Path) -> None:
    text = lock.read_text()
    assert "://" not in text
    packages = re.findall(r"^[a-zA-Z0-9].*?(?=^[a-zA-Z0-9]|\Z)", text, re.MULTILINE | re.DOTALL)
    assert packages
    for package in packages:
        assert re.match(r"[\w.-]+==\S+", package) and "--hash=sha256:" in package, package


@pytest.mark.parametrize("lock", sorted(LOCKS.glob("*/package-lock.json")), ids=lambda path: path.parent.name)
def test_node_locks_pin_every_package_by_hash(lock: Path) -> None:
    packages = json.loads(lock.read_text())["packages"]
    del packages[""]
    assert packages
    for name, package in packages.items():
        assert "resolved" not in package and package["integrity"].startswith("sha512-"), name
