"""From a canonical page to an event-shaped Parquet file."""

from __future__ import annotations

import ctypes
import hashlib
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Literal

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from holdfast.common.errors import HoldfastError, Kind
from holdfast.vault.columns import CAPTURED, DELETED, TIMESTAMP, table_schema
from holdfast.vault.fingerprint import event_ids, fingerprints
from holdfast.vault.location import table_key
from holdfast.vault.schema import RecordSchema

# What a page holds: observations, read in one of three modes; deletions that the org states, or that follow from a
# record's absence; all living records with their stamps, to hold the state against; bodies of files.
PageMode = Literal["baseline", "incremental", "full", "deletions", "census", "bodies"]

# Pages whose events are made when they are staged: of a first reading, and of bodies that came in.
AS_IT_IS = frozenset({"baseline", "bodies"})
# Reading one scattered old value costs a row group, writing many groups costs 1 ms each.
ROW_GROUP_ROWS = 10_000
# What says when a record last changed, best first. An object with neither of the first two holds records that are made
# once and stay as they are (history, log-ins): its newest record is the newest change.
STAMP_FIELDS = ("SystemModstamp", "LastModifiedDate", "CreatedDate", "LoginTime")
# A dictionary on values that hardly repeat, ids above all, costs 40 % of the write.
_SAMPLE_ROWS = 1_000
# No statistics of values: see format §1.
_STATISTICS = ["_run", "_modified_at", "_record_id"]


@dataclass(frozen=True)
class PageMeta:
    """Where a page comes from. `seq` orders the pages of an object within a run."""

    job_id: str
    object: str
    run: int
    seq: int
    page_id: str
    mode: PageMode
    schema: RecordSchema
    observed_at: datetime

    @property
    def table_name(self) -> str:
        """`<job>/<Object>`."""
        return f"{self.job_id}/{self.object}"


@dataclass(frozen=True)
class StagedPage:
    """A written page file.

    Attributes:
        max_modified_at: The latest stamp, for the watermark; None without stamps.
        last_id: Id of the last row; None for an empty page.
    """

    path: Path
    rows: int
    bytes: int
    sha256: str
    max_modified_at: datetime | None
    last_id: str | None


def page_key(meta: PageMeta, sha256: str) -> str:
    """Key of a page file: in the table's folder if it may become a file of the table as it is, else in staging."""
    name = f"{meta.page_id}-{sha256}.parquet"
    if meta.mode in AS_IT_IS:
        return f"{table_key(meta.job_id, meta.object)}/{meta.run}/{name}"
    return f"{meta.job_id}/staging/{meta.run}/{meta.object}/{name}"


def write_page(table: pa.Table, meta: PageMeta, out: Path) -> StagedPage:
    """Write a canonical page as an event file; CPU-bound, call it in a thread.

    Args:
        table: The result of `canonical`: `Id` and the schema's stored fields, all strings.
        meta: Where it comes from.
        out: A local file to write; the caller makes it durable.

    Raises:
        HoldfastError: INVALID if a record has no id or a stamp is no datetime.
    """
    events = observed_events(table, meta)
    written = write_events(events, out)
    stamps = events.column("_modified_at")
    latest = pc.max(stamps).as_py() if len(stamps) else None
    last_id = events.column("_record_id")[-1].as_py() if len(events) else None
    rows = len(events)
    del events
    release_memory()
    return StagedPage(out, rows, written.bytes, written.sha256, latest, last_id)


def observed_events(table: pa.Table, meta: PageMeta) -> pa.Table:
    """The page's rows as events: `captured`, or `deleted` where `IsDeleted` is true or the page is one of deletions."""
    ids = table.column("Id")
    _require_ids(ids, meta)
    deleted = pa.chunked_array([pa.repeat(True, table.num_rows)]) if meta.mode == "deletions" else deleted_flags(table)
    ops = pc.if_else(deleted, DELETED, CAPTURED)
    # What is known by its key can be written anew with any stamp: the later reading is right.
    stamps = _no_stamps(table) if meta.schema.key else record_stamps(table)
    prints = fingerprints(table, meta.schema.compared)
    event_id = event_ids(
        meta.table_name,
        record_ids=pl.Series(pl.from_arrow(ids)),
        run=meta.run,
        ops=pl.Series(pl.from_arrow(ops)),
        stamps_ms=stamp_ms(stamps),
        prints=prints,
    )
    rows = table.num_rows
    merged: pa.Array = pa.nulls(rows, pa.string())
    if "MasterRecordId" in table.column_names:
        merged = pc.if_else(deleted, table.column("MasterRecordId"), pa.scalar(None, pa.string()))
    columns = [
        event_id,
        ids,
        ops,
        constant(meta.run, rows),
        constant(meta.seq, rows),
        pa.repeat(pa.scalar(meta.observed_at, TIMESTAMP), rows),
        stamps,
        prints.to_arrow(),
        pa.nulls(rows, pa.list_(pa.string())),
        merged,
        pa.repeat(pa.scalar(meta.schema.schema_id), rows),
        *(table.column(field.name) for field in meta.schema.stored),
    ]
    return pa.table(columns, schema=table_schema(field.name for field in meta.schema.stored))


@dataclass(frozen=True)
class WrittenFile:
    """Size and hash of a file just written."""

    bytes: int
    sha256: str


def write_events(events: pa.Table, out: Path) -> WrittenFile:
    """Write an event table as Parquet with page checksums."""
    with events_writer(events, out) as writer:
        writer.write_table(events, row_group_size=ROW_GROUP_ROWS)
    return WrittenFile(out.stat().st_size, hash_of(out))


def events_writer(first: pa.Table, out: Path, level: int = 1) -> pq.ParquetWriter:
    """A writer of event files; which columns get a dictionary is judged by the first rows."""
    names = first.column_names
    return pq.ParquetWriter(
        out,
        first.schema,
        compression="zstd",
        compression_level=level,
        use_dictionary=[name for name in names if _repeats(first.column(name))],
        write_statistics=[name for name in _STATISTICS if name in names],
        write_page_checksum=True,
        store_schema=False,
    )


def hash_of(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _repeats(column: pa.ChunkedArray) -> bool:
    """Whether a dictionary pays: judged by the first rows."""
    if pa.types.is_list(column.type):
        return True
    first = column.slice(0, _SAMPLE_ROWS)
    return 2 * len(pc.unique(first)) <= len(first)


def deleted_flags(table: pa.Table) -> pa.ChunkedArray:
    """Which rows carry `IsDeleted` = true; none if the object has no such field."""
    if "IsDeleted" not in table.column_names:
        return pa.chunked_array([pa.repeat(pa.scalar(False), table.num_rows)])
    return pc.fill_null(pc.equal(table.column("IsDeleted"), "true"), False)


def record_stamps(table: pa.Table) -> pa.ChunkedArray:
    """The records' stamps: the first of `STAMP_FIELDS` that the page has; nulls without one."""
    for name in STAMP_FIELDS:
        if name in table.column_names:
            try:
                return pc.cast(table.column(name), TIMESTAMP)
            except pa.ArrowInvalid as error:
                message = f"Salesforce sent a {name} that is no date and time."
                raise HoldfastError(Kind.INVALID, message, detail=str(error), field=name) from error
    return _no_stamps(table)


def _no_stamps(table: pa.Table) -> pa.ChunkedArray:
    return pa.chunked_array([pa.nulls(table.num_rows, TIMESTAMP)])


def stamp_ms(stamps: pa.ChunkedArray) -> pl.Series:
    """Stamps as milliseconds since 1970, null kept."""
    return pl.Series(pl.from_arrow(stamps)).dt.epoch("ms")


def constant(value: int, rows: int) -> pa.Array:
    """A long column of one value."""
    return pa.repeat(pa.scalar(value, pa.int64()), rows)


def _require_ids(ids: pa.ChunkedArray, meta: PageMeta) -> None:
    right = pc.fill_null(pc.match_substring_regex(ids, "^(?:[0-9A-Za-z]{18}|key-[0-9a-f]{16})$"), False)
    wrong = len(ids) - (pc.sum(right).as_py() or 0)
    if wrong:
        raise HoldfastError(Kind.INVALID, f"{wrong} rows of {meta.object} have no record id.", code="record-without-id")


@lru_cache(maxsize=1)
def _trim() -> ctypes._NamedFuncPointer | None:
    trim: ctypes._NamedFuncPointer | None = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return trim


def release_memory() -> None:
    """Give a page's memory back to the system; pools keep it otherwise (740 instead of 390 MB at 4 pages)."""
    pa.default_memory_pool().release_unused()
    trim = _trim()
    if trim is not None:
        trim(0)
