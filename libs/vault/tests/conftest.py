"""Fixtures of the vault's tests."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from vault_pages import Backup


@pytest.fixture
def backup(tmp_path: Path) -> Backup:
    """An empty vault in a folder, and a hand that stages pages into it."""
    return Backup.in_folder(tmp_path / "vault", tmp_path)
