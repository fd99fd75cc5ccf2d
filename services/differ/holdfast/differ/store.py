"""All SQL of the differ, as functions over rows it understands."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from holdfast.common.contracts.differ import ChangeCounts
from holdfast.common.contracts.extractor import Mode, ObjectExtracted, PageMode, PageStaged
from holdfast.common.postgres import Database, Queries, Unit
from holdfast.vault.chain import ChainHead

SQL = Queries.load("holdfast.differ")


@dataclass(frozen=True)
class TableKey:
    """Which vault table: one per job and object."""

    job_id: UUID
    object: str

    def __str__(self) -> str:
        return f"{self.job_id}/{self.object}"


@dataclass(frozen=True)
class TableRow:
    """What Postgres remembers of a table. `pending_page` names the page whose commit was begun."""

    commit_seq: int
    pending_page: str | None
    version: int
    chain_head: str
    records: int
    fed_seq: int

    @property
    def head(self) -> ChainHead | None:
        """The chain head that the table must contain; None before its first commit."""
        return ChainHead(self.commit_seq, self.chain_head) if self.commit_seq else None


@dataclass(frozen=True)
class PageRow:
    """A staged page. `again`: of bodies, of which a page of the same run was given up and named anew."""

    page_id: str
    run_id: UUID
    run: int
    mode: PageMode
    seq: int
    path: str
    rows: int
    bytes: int
    sha256: str
    schema_id: str
    again: bool = False


@dataclass(frozen=True)
class DiffedPage:
    """A committed page, with the counts of its events. `own`: staged by the differ itself, and in no manifest."""

    page_id: str
    mode: PageMode
    path: str
    rows: int
    sha256: str
    counts: ChangeCounts
    bytes_written: int
    own: bool = False


@dataclass(frozen=True)
class ManifestRow:
    """A manifest whose pages are all committed."""

    run_id: UUID
    run: int
    mode: Mode
    pages: int
    rows: int
    sha256: str
    correlation_id: UUID
    gaps: list[str]
    pass_number: int
    extracted: ObjectExtracted
    earlier: list[ObjectExtracted]


@dataclass(frozen=True)
class OwnPage:
    """A page of deletions that the differ stages itself, for the records that vanished."""

    page_id: str
    seq: int
    path: str
    rows: int
    bytes: int
    sha256: str
    schema_id: str


@dataclass(frozen=True)
class Loss:
    """An object that is given up for a run, and why."""

    key: TableKey
    run_id: UUID
    run: int
    reason: str
    code: str


@dataclass(frozen=True)
class Failing:
    """How often something failed in a way that time does not cure, and for how long."""

    failures: int
    failing_for: timedelta


async def add_page(unit: Unit, event: PageStaged) -> None:
    """Note a staged page and, with it, its table. Idempotent."""
    await unit.execute(SQL.add_table, event.job_id, event.object)
    await unit.execute(
        SQL.add_page,
        event.page_id,
        event.run_id,
        event.job_id,
        event.run,
        event.object,
        event.mode,
        event.seq,
        event.path,
        event.rows,
        event.bytes,
        event.sha256,
        event.schema_id,
    )


async def add_manifest(unit: Unit, event: ObjectExtracted, correlation_id: UUID) -> None:
    """Note an object's manifest; that of a later pass takes the place of the earlier one. Idempotent."""
    await unit.execute(SQL.add_table, event.job_id, event.object)
    await unit.execute(
        SQL.add_manifest,
        event.run_id,
        event.object,
        event.job_id,
        event.run,
        event.mode,
        event.pages,
        event.rows,
        event.manifest,
        correlation_id,
        event.gaps,
        event.pass_number,
        event.model_dump_json(),
    )


async def put_job_connection(unit: Unit, job_id: UUID, connection_id: UUID) -> None:
    await unit.execute(SQL.put_job_connection, job_id, connection_id)


async def put_connection_organization(unit: Unit, connection_id: UUID, organization_id: str) -> None:
    await unit.execute(SQL.put_connection_organization, connection_id, organization_id)


async def organization_of_job(db: Database, job_id: UUID) -> str:
    """Organisation id of the job's org; empty while its connection has not been heard of."""
    return await db.fetchval(SQL.organization_of_job, job_id) or ""


async def due_tables(db: Database) -> list[TableKey]:
    return [TableKey(row["job_id"], row["object"]) for row in await db.fetch(SQL.due_tables)]


async def get_table(db: Database, key: TableKey) -> TableRow:
    row = await db.fetchrow(SQL.get_table, key.job_id, key.object)
    if row is None:
        raise LookupError(f"no row for table {key}")
    return TableRow(**dict(row))


async def list_tables(db: Database, job_id: UUID) -> list[tuple[str, int, int, str, int]]:
    """(object, commit_seq, version, chain head, records) of each table of a job that has a commit."""
    return [tuple(row) for row in await db.fetch(SQL.list_tables, job_id)]


async def staged_pages(db: Database, key: TableKey, limit: int) -> list[PageRow]:
    """Pages to commit, in order of (run, seq)."""
    return [PageRow(**dict(row)) for row in await db.fetch(SQL.staged_pages, key.job_id, key.object, limit)]


async def get_page(db: Database, page_id: str) -> PageRow:
    row = await db.fetchrow(SQL.get_page, page_id)
    if row is None:
        raise LookupError(f"no row for page {page_id}")
    return PageRow(**dict(row))


async def reserve_commit(unit: Unit, key: TableKey, page_id: str, commit_seq: int) -> bool:
    """Give the page the table's next commit number; False if someone else moved the table."""
    return await unit.fetchval(SQL.reserve_commit, key.job_id, key.object, page_id, commit_seq) is not None


async def record_commit(
    unit: Unit, key: TableKey, *, commit_seq: int, version: int, chain_head: str, records: int
) -> None:
    await unit.execute(SQL.record_commit, key.job_id, key.object, commit_seq, version, chain_head, records)


async def release_commit(unit: Unit, key: TableKey, page_id: str) -> None:
    await unit.execute(SQL.release_commit, key.job_id, key.object, page_id)


async def mark_page(
    unit: Unit,
    page_id: str,
    *,
    version: int,
    counts: ChangeCounts,
    commit_seq: int | None = None,
    bytes_written: int = 0,
) -> bool:
    """Note that a page is in the table; without `commit_seq` it changed nothing. True the first time."""
    tag = await unit.execute(SQL.mark_page, page_id, commit_seq, version, bytes_written, counts.model_dump_json())
    return tag.endswith(" 1")


async def complete_manifests(db: Database, key: TableKey) -> list[ManifestRow]:
    """Manifests of which every page is here and committed, oldest run first."""
    rows = await db.fetch(SQL.complete_manifests, key.job_id, key.object)
    return [_manifest(key, dict(row)) for row in rows]


def _manifest(key: TableKey, row: dict[str, Any]) -> ManifestRow:
    earlier = [ObjectExtracted.model_validate(one) for one in json.loads(row.pop("earlier")) if one]
    said = row.pop("extracted")
    if said is not None:
        return ManifestRow(**row, extracted=ObjectExtracted.model_validate_json(said), earlier=earlier)
    # Noted before objects were counted: nothing was said that is not in the row.
    extracted = ObjectExtracted(
        **{name: row[name] for name in ("run_id", "run", "mode", "pages", "rows", "gaps")},
        job_id=key.job_id,
        object=key.object,
        manifest=row["sha256"],
        api_calls=0,
        watermark=None,
    )
    return ManifestRow(**row, extracted=extracted, earlier=earlier)


async def pages_of_object(db: Database, run_id: UUID, object_name: str) -> list[DiffedPage]:
    """The object's pages in this run, in order of `seq`."""
    rows = await db.fetch(SQL.pages_of_object, run_id, object_name)
    return [
        DiffedPage(**{**dict(row), "counts": ChangeCounts.model_validate(json.loads(row["counts"]))}) for row in rows
    ]


async def mark_doubted(unit: Unit, manifest: ManifestRow, object_name: str) -> bool:
    """Wait for the pass after this one; True the first time."""
    tag = await unit.execute(SQL.mark_doubted, manifest.run_id, object_name, manifest.pass_number)
    return str(tag).endswith(" 1")


async def last_seq(db: Database, run_id: UUID, object_name: str, but: str) -> int:
    """The last place that a page of the object's run has, `but` for this one and those of bodies; 0 without pages."""
    return int(await db.fetchval(SQL.last_seq, run_id, object_name, but) or 0)


async def vanished_lately(db: Database, key: TableKey, within: timedelta) -> int:
    """How many records were taken for deleted in so long because they were absent."""
    return int(await db.fetchval(SQL.vanished_lately, key.job_id, key.object, within))


async def add_own_page(unit: Unit, key: TableKey, manifest: ManifestRow, page: OwnPage) -> None:
    """Note a page that the differ staged; it is committed like all others. Idempotent."""
    await unit.execute(
        SQL.add_own_page,
        page.page_id,
        manifest.run_id,
        key.job_id,
        manifest.run,
        key.object,
        page.seq,
        page.path,
        page.rows,
        page.bytes,
        page.sha256,
        page.schema_id,
    )


async def mark_diffed(unit: Unit, run_id: UUID, object_name: str) -> bool:
    """True the first time."""
    return str(await unit.execute(SQL.mark_diffed, run_id, object_name)).endswith(" 1")


async def advance_feed(unit: Unit, key: TableKey, commit_seq: int) -> None:
    await unit.execute(SQL.advance_feed, key.job_id, key.object, commit_seq)


async def page_failed(unit: Unit, page_id: str) -> Failing | None:
    """Count a failure; None if the page is committed."""
    row = await unit.fetchrow(SQL.page_failed, page_id)
    return Failing(**dict(row)) if row else None


async def manifest_failed(unit: Unit, run_id: UUID, object_name: str) -> Failing | None:
    """Count a failure; None if the object is complete."""
    row = await unit.fetchrow(SQL.manifest_failed, run_id, object_name)
    return Failing(**dict(row)) if row else None


async def add_loss(unit: Unit, loss: Loss) -> bool:
    """Take the object's pages of this run, and its manifest, out of everything that is due. True the first time."""
    key = loss.key
    added = await unit.fetchval(
        SQL.add_loss, loss.run_id, key.object, key.job_id, loss.run, loss.reason[:2000], loss.code
    )
    return added is not None


async def give_up_page(unit: Unit, page_id: str, reason: str) -> bool:
    """Take one page out of everything that is due. True the first time."""
    return await unit.fetchval(SQL.give_up_page, page_id, reason[:2000]) is not None


async def open_loss(db: Database, key: TableKey, run: int) -> int | None:
    """The newest run before this one whose changes of the object are still missing."""
    lost: int | None = await db.fetchval(SQL.open_loss, key.job_id, key.object, run)
    return lost


async def adopt_head(unit: Unit, key: TableKey, known: int, *, head: ChainHead, version: int, records: int) -> bool:
    """Go on from the table's own head; False if the row is no longer at commit `known`."""
    adopted = await unit.fetchval(
        SQL.adopt_head, key.job_id, key.object, known, head.commit_seq, version, head.head, records
    )
    return adopted is not None


async def find_page(unit: Unit, page_id: str) -> PageRow | None:
    """A page that is known and not yet recorded as committed."""
    row = await unit.fetchrow(SQL.find_page, page_id)
    return PageRow(**dict(row)) if row else None


async def record_compaction(unit: Unit, key: TableKey, head: ChainHead, version: int, at: datetime) -> None:
    """Note the head after a compaction, and that replaced files lie in the table's folder from now on."""
    await unit.execute(SQL.record_compaction, key.job_id, key.object, head.commit_seq, version, head.head, at)


async def table_to_keep_up(db: Database, replaced_before: datetime, checked_before: datetime) -> TableKey | None:
    """A table whose replaced files have outlived their grace, or whose index was not checked for long."""
    rows = await db.fetch(SQL.tables_to_keep_up, replaced_before, checked_before)
    return TableKey(rows[0]["job_id"], rows[0]["object"]) if rows else None


async def upkeep_of(db: Database, key: TableKey) -> tuple[datetime | None, datetime]:
    """Since when replaced files lie there, and when the index was last checked."""
    (row,) = await db.fetch(SQL.upkeep_of, key.job_id, key.object)
    return row["replaced_since"], row["index_checked_at"]


async def mark_cleared(unit: Unit, key: TableKey, since: datetime | None) -> None:
    """Note since when the replaced files lie there that are left."""
    await unit.execute(SQL.mark_cleared, key.job_id, key.object, since)


async def mark_checked(unit: Unit, key: TableKey, at: datetime) -> None:
    """Note that the index was held against the table."""
    await unit.execute(SQL.mark_checked, key.job_id, key.object, at)
