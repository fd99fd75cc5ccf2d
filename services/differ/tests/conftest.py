"""The differ's parts on a real Postgres and a vault in a folder."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path

import pytest

from holdfast.common.clock import SystemClock
from holdfast.common.leases import Leases
from holdfast.common.postgres import Database

sys.path.insert(0, str(Path(__file__).parent))
from differ_table import KEY, Differ


@pytest.fixture(scope="session")
def postgres_template(migrated_template: Callable[..., str]) -> str:
    """Every test begins with the tables that it would migrate first."""
    return migrated_template({"differ": ["holdfast.differ"]})


@pytest.fixture
async def differ(postgres_dsn: str, tmp_path: Path) -> AsyncIterator[Differ]:
    db = await Database.open(postgres_dsn, "differ")
    await db.migrate("holdfast.differ")
    lease = await Leases(db, SystemClock(), "test").acquire(f"table/{KEY}", timedelta(seconds=60))
    assert lease is not None
    yield Differ(db, tmp_path, lease)
    await lease.release()
    await db.close()
