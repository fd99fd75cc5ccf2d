"""Many small files of a table become few large ones, with the same rows: `docs/formats/vault.md` §8."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.failpoints import durable_step
from holdfast.vault.columns import table_schema
from holdfast.vault.files import damaged
from holdfast.vault.layout import Layout, Replacement, StoredFile
from holdfast.vault.location import VaultRoot, table_key
from holdfast.vault.log import TableLog
from holdfast.vault.multiset import Multiset
from holdfast.vault.page import ROW_GROUP_ROWS, events_writer, hash_of, release_memory
from holdfast.vault.schema import RecordSchema

MERGED_PUT = durable_step("vault.merged_file_put")
REPLACED_DELETED = durable_step("vault.replaced_deleted")
# A row group of a table with 900 columns stays within this.
_GROUP_BYTES = 32 << 20


@dataclass(frozen=True)
class Policy:
    """When files are merged.

    Files are merged with others of their order of magnitude, so that a byte is rewritten about once per order.

    Attributes:
        fewest: Files of one order that are worth merging.
        large_bytes: A file from here on is left alone.
        steps: Orders of magnitude: a file belongs to the first that it is smaller than.
    """

    fewest: int = 16
    large_bytes: int = 32 << 20
    steps: tuple[int, ...] = field(default=(64 << 10, 512 << 10, 4 << 20, 32 << 20))

    def batch(self, layout: Layout) -> list[StoredFile]:
        """The files to merge into one; empty if there is nothing to gain."""
        small = [file for file in layout.stored() if file.bytes < self.large_bytes]
        bodies = [file for file in small if layout.pages[file.parts[0]].mode == "bodies"]
        moved = {file.path for file in bodies}
        # A file of bodies is merged with its kind alone: what bodies a table names is looked for in those files.
        for files in ([file for file in small if file.path not in moved], bodies):
            for low, high in zip((0, *self.steps), self.steps, strict=False):
                near = [file for file in files if low <= file.bytes < high]
                if len(near) >= self.fewest:
                    return self._within(near)
        return []

    def _within(self, files: Sequence[StoredFile]) -> list[StoredFile]:
        """The oldest of the files, together not much larger than a large one."""
        taken, size = [], 0
        for file in files:
            if size >= self.large_bytes:
                break
            taken.append(file)
            size += file.bytes
        return taken


@dataclass(frozen=True)
class Merger:
    """Writes the rows of several files of a table into one."""

    root: VaultRoot
    job_id: str
    object: str
    schemas: Mapping[str, RecordSchema]

    def merge(self, batch: Sequence[StoredFile], layout: Layout, at_ms: int) -> Replacement:
        """Make the merged file durable and prove that it holds the same rows; nothing is committed.

        Raises:
            HoldfastError: DAMAGED if a file is not what was written, or the rows are not the same.
        """
        pages = [layout.pages[part] for file in batch for part in file.parts]
        names = sorted(frozenset[str]().union(*(self.schemas[page.schema].names for page in pages)))
        with tempfile.TemporaryDirectory(prefix="holdfast-") as folder:
            out = Path(folder) / "merged.parquet"
            before = self._write(batch, table_schema(names), out)
            after = _rows_of(out)
            if (before.hash, before.rows) != (after.hash, after.rows):
                message = f"Merging files of {self.object} changed rows; nothing was replaced."
                raise HoldfastError(Kind.DAMAGED, message, code="merge-differs")
            sha256 = hash_of(out)
            path = f"{min(page.run for page in pages)}/merged-{sha256}.parquet"
            size = out.stat().st_size
            self.root.put_new(f"{self._table}/{path}", out, MERGED_PUT)
        parts = tuple(part for file in batch for part in file.parts)
        merged = StoredFile(path, sha256, after.rows, size, parts)
        return Replacement(tuple(file.path for file in batch), (merged,), at_ms, before.hash, after.hash)

    @property
    def _table(self) -> str:
        return table_key(self.job_id, self.object)

    def _write(self, batch: Sequence[StoredFile], schema: pa.Schema, out: Path) -> Multiset:
        rows = Multiset()
        groups = _groups(self._batches(batch, schema, rows))
        first = next(groups)
        with events_writer(first, out) as writer:
            writer.write_table(first, row_group_size=len(first))
            for group in groups:
                writer.write_table(group, row_group_size=len(group))
        release_memory()
        return rows

    def _batches(self, batch: Sequence[StoredFile], schema: pa.Schema, rows: Multiset) -> Iterator[pa.Table]:
        for file in batch:
            data = self.root.read(f"{self._table}/{file.path}")
            if hashlib.sha256(data).hexdigest() != file.sha256:
                raise damaged(f"{self._table}/{file.path}", ValueError("the file's bytes changed"))
            with pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True) as parquet:
                for part in parquet.iter_batches(ROW_GROUP_ROWS):
                    rows.add(part)
                    yield _widened(pa.table(part), schema)


def _widened(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """The rows with every column of the schema; those that they lack are null."""
    present = set(rows.column_names)
    columns = [rows.column(f.name) if f.name in present else pa.nulls(len(rows), f.type) for f in schema]
    return pa.table(columns, schema=schema)


def _groups(batches: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Small batches put together to row groups."""
    held: list[pa.Table] = []
    rows, size = 0, 0
    for batch in batches:
        held.append(batch)
        rows, size = rows + len(batch), size + batch.nbytes
        if rows >= ROW_GROUP_ROWS or size >= _GROUP_BYTES:
            yield pa.concat_tables(held).combine_chunks()
            held, rows, size = [], 0, 0
    if held:
        yield pa.concat_tables(held).combine_chunks()


def _rows_of(path: Path) -> Multiset:
    """The rows of a file, read back from the disk."""
    return rows_in(pa.memory_map(str(path)))


def rows_in(source: pa.NativeFile) -> Multiset:
    """The rows of a file, with its page checksums checked."""
    rows = Multiset()
    with pq.ParquetFile(source, page_checksum_verification=True) as parquet:
        for part in parquet.iter_batches(ROW_GROUP_ROWS):
            rows.add(part)
    return rows


def delete_replaced(log: TableLog, newest: int, before_ms: int) -> int | None:
    """Delete the files that compactions before a time took out of the table.

    Returns:
        The time of the oldest compaction after that; None if there is none.
    """
    table = table_key(log.job_id, log.object)
    made = [made for version in range(newest + 1) if (made := log.read(version).replacement)]
    old = {f"{table}/{path}" for replacement in made if replacement.at_ms < before_ms for path in replacement.removed}
    present = [entry.key for entry in log.root.list(table) if entry.key in old] if old else []
    for key in present:
        REPLACED_DELETED.before()
        log.root.delete(key)
        REPLACED_DELETED.after()
    return min((replacement.at_ms for replacement in made if replacement.at_ms >= before_ms), default=None)
