"""Bring a schema up to date: numbered `.sql` files, each run once, in order, and never altered."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.failpoints import durable_step
from holdfast.common.sql import Queries

MIGRATED = durable_step("common.migrated")
COMMON = "holdfast.common"
Connection = asyncpg.Connection | PoolConnectionProxy
_CREATE_TABLE = """
CREATE TABLE IF NOT EXISTS migration (
    package    text NOT NULL,
    name       text NOT NULL,
    sha256     text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (package, name)
)
"""


@dataclass(frozen=True)
class Migration:
    """One file: `NNNN_pre_<what>.sql` runs before a rollout, `NNNN_post_<what>.sql` after it."""

    package: str
    name: str
    text: str

    @property
    def sha256(self) -> str:
        """Of the file's text, to notice an altered file."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def migrations_of(package: str) -> list[Migration]:
    """The package's migrations in order; none when it has no `migrations` folder."""
    folder = files(package).joinpath("migrations")
    if not folder.is_dir():
        return []
    entries = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return [Migration(package, name, folder.joinpath(name).read_text("utf-8")) for name in entries]


async def migrate(connection: Connection, schema: str, packages: tuple[str, ...]) -> list[str]:
    """Run what is missing of common's and the packages' migrations, one process at a time.

    Returns:
        Names of the migrations that ran now.

    Raises:
        HoldfastError: A file that already ran has been altered (INVALID).
    """
    queries = Queries.load(COMMON)
    ran: list[str] = []
    async with connection.transaction():
        await connection.execute(queries.migration_lock, schema)
        await connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{schema}"')
        await connection.execute(_CREATE_TABLE)
        rows = await connection.fetch(queries.migrations_done)
        done = {(row["package"], row["name"]): row["sha256"] for row in rows}
        for package in (COMMON, *packages):
            for migration in migrations_of(package):
                if await _apply(connection, migration, done, queries):
                    ran.append(f"{package}/{migration.name}")
        MIGRATED.before()
    MIGRATED.after()
    return ran


async def _apply(
    connection: Connection, migration: Migration, done: dict[tuple[str, str], str], queries: Queries
) -> bool:
    known = done.get((migration.package, migration.name))
    if known == migration.sha256:
        return False
    if known is not None:
        raise HoldfastError(
            Kind.INVALID,
            f"The migration {migration.package}/{migration.name} was altered after it ran; add a new one.",
            code="migration-altered",
        )
    await connection.execute(migration.text)
    await connection.execute(queries.migration_record, migration.package, migration.name, migration.sha256)
    return True
