"""What a page of records asks to be fetched: found by column, queued in the unit that records the page."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from holdfast.common.contracts.extractor import FilesQueued
from holdfast.common.outbox import enqueue
from holdfast.common.postgres import Database, Queries, Unit
from holdfast.extractor.files.fields import FileField, from_json, to_json
from holdfast.extractor.files.images import images_of
from holdfast.extractor.store import Run, TaskClaim
from holdfast.vault.columns import DELETED

sql = Queries.load("holdfast.extractor.files")
_KEPT_OBJECTS = 256
_EVENT = ["_record_id", "_modified_at", "_op"]


class Wanted(NamedTuple):
    """Bodies of one field, as columns of equal length.

    `kept_with`: the record that Salesforce keeps an image with, where it is another one.
    """

    record_ids: list[str]
    parts: list[str]
    stamps: list[datetime | None]
    sizes: list[int | None]
    md5s: list[str | None]
    kept_with: list[str | None]


@dataclass(frozen=True)
class PageFiles:
    """What a page says of files: bodies to fetch by field, and records whose files are gone with them."""

    wanted: dict[str, Wanted]
    deleted: list[str]


async def files_planned(unit: Unit, run: Run, fields: Mapping[str, Sequence[FileField]]) -> None:
    """Note which fields of a run's objects hold files, and give those of the job that failed another chance."""
    await unit.executemany(sql.note_fields, [(run.run_id, name, to_json(held)) for name, held in fields.items()])
    await unit.execute(sql.retry_failed, run.job_id)


async def files_of_run(db: Database, run_id: UUID) -> dict[str, int]:
    """How far the files of a run are: queued, stored, failed and bytes, each as `files_…`; empty without files."""
    row = await db.fetchrow(sql.run_files, run_id)
    return {f"files_{name}": value for name, value in row.items()} if row else {}


class FileQueue:
    """Knows the file fields of the objects being read, and queues what their pages ask for."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._fields: OrderedDict[tuple[UUID, str], tuple[FileField, ...]] = OrderedDict()

    async def fields(self, claim: TaskClaim) -> tuple[FileField, ...]:
        """The file fields of the object, as the run was planned."""
        key = (claim.run.run_id, claim.object)
        if key not in self._fields:
            text = await self._db.fetchval(sql.fields_of_object, *key)
            self._fields[key] = from_json(text) if text else ()
            while len(self._fields) > _KEPT_OBJECTS:
                self._fields.popitem(last=False)
        return self._fields[key]

    async def queue(self, unit: Unit, claim: TaskClaim, files: PageFiles | None) -> None:
        """Queue what a page asks for; what is stored already, or waits already, changes nothing if it is still so."""
        if files is None:
            return
        run = claim.run
        await unit.execute(sql.files_of_deleted, run.job_id, claim.object, files.deleted)
        added = 0
        for field, wanted in files.wanted.items():
            said = (wanted.record_ids, wanted.stamps, wanted.sizes, wanted.md5s)
            await unit.execute(sql.fetch_changed, run.job_id, claim.object, field, *said)
            head = (run.job_id, run.connection_id, run.run_id, claim.object, field)
            added += await unit.fetchval(sql.queue_files, *head, *wanted)
        if added:
            row = await unit.fetchrow(sql.count_queued, run.run_id, run.connection_id, added)
            assert row is not None  # it is made by the statement
            event = FilesQueued(run_id=run.run_id, job_id=run.job_id, run=run.number, files=row["queued"])
            await enqueue(unit, event, run.meta)


def files_of_page(page: Path, fields: tuple[FileField, ...]) -> PageFiles | None:
    """What a page that was just written says of files; CPU-bound.

    Args:
        page: The event file.
        fields: File fields of its object.
    """
    if not fields:
        return None
    with pq.ParquetFile(page) as file:
        there = set(file.schema_arrow.names)
        names = {name for field in fields for name in field.columns if name in there}
        table = file.read(columns=[*_EVENT, *sorted(names)])
    gone = pc.equal(table.column("_op"), DELETED)
    living = table.filter(pc.invert(gone))
    wanted = {field.name: _images(living, field) if field.images else _bodies(living, field) for field in fields}
    deleted = table.filter(gone).column("_record_id").to_pylist()
    return PageFiles({name: found for name, found in wanted.items() if found.record_ids}, deleted)


def _bodies(table: pa.Table, field: FileField) -> Wanted:
    for name in field.elsewhere:
        table = table.filter(pc.is_null(_column(table, name)))
    sizes = _column(table, field.size)
    sizes = pc.if_else(pc.match_substring_regex(sizes, r"^\d{1,15}$"), sizes, pa.scalar(None, pa.string()))
    return Wanted(
        table.column("_record_id").to_pylist(),
        [""] * table.num_rows,
        table.column("_modified_at").to_pylist(),
        pc.cast(sizes, pa.int64()).to_pylist(),
        pc.ascii_lower(_column(table, field.md5)).to_pylist(),
        [None] * table.num_rows,
    )


def _images(table: pa.Table, field: FileField) -> Wanted:
    if field.name not in table.column_names:
        return Wanted([], [], [], [], [], [])
    found = images_of(table, field.name)
    ids, parts, stamps, kept_with = (found[name].to_list() for name in ("record_id", "part", "stamp", "kept_with"))
    return Wanted(ids, parts, stamps, [None] * found.height, [None] * found.height, kept_with)


def _column(table: pa.Table, name: str) -> pa.ChunkedArray:
    if name in table.column_names:
        return table.column(name)
    return pa.chunked_array([pa.nulls(table.num_rows, pa.string())])
