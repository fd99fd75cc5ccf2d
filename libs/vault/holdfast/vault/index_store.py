"""The state index as a file beside its table, and how it is brought up to date or made anew."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import tempfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import IO, Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.failpoints import durable_step
from holdfast.vault.chain import GENESIS
from holdfast.vault.chunks import SortedRows
from holdfast.vault.files import index_rows
from holdfast.vault.index import ENTRY_SCHEMA, NO_STAMP, StateIndex
from holdfast.vault.layout import Layout, StoredFile
from holdfast.vault.location import table_key
from holdfast.vault.log import LogCommit, TableLog
from holdfast.vault.page import hash_of
from holdfast.vault.record_id import holds_keyed
from holdfast.vault.refs import EventFile

INDEX_PUT = durable_step("vault.index_put")
_META = "holdfast.index"
_KEPT = 2
_PIECE_BYTES = 1 << 20
# Page checksums do not cover the footer, where the file list and the prefixes are: a flipped bit there would
# make known records look new. So the name tells the hash of all bytes.
_NAME = re.compile(r"/(\d{10})-(\d{10})-([0-9a-f]{64})\.parquet$")

NOTHING = StateIndex(0, -1, GENESIS)


def index_folder(log: TableLog) -> str:
    """Key of the folder with a table's index files."""
    return f"{log.job_id}/index/{log.object}"


def save_index(log: TableLog, index: StateIndex) -> str:
    """Store the index under the commit that it covers, and drop all but the newest files.

    Returns:
        Its key.
    """
    meta = {
        "commit_seq": index.commit_seq,
        "version": index.version,
        "head": index.head,
        "alive": index.alive,
        "prefixes": list(index.prefixes),
        "files": _packed([file.to_json() for file in index.files]),
        "merged": _packed([file.to_json() for file in index.merged]),
    }
    with tempfile.TemporaryDirectory(prefix="holdfast-") as folder:
        out = Path(folder) / "index.parquet"
        _write(index, {_META: json.dumps(meta)}, out)
        key = f"{index_folder(log)}/{index.commit_seq:010d}-{index.version:010d}-{hash_of(out)}.parquet"
        if log.root.size(key) is None:
            log.root.put_new(key, out, INDEX_PUT)
    for old in _stored(log)[:-_KEPT]:
        log.root.delete(old)
    return key


def _write(index: StateIndex, meta: dict[str, str], out: Path) -> None:
    schema = pl.DataFrame(schema=ENTRY_SCHEMA).to_arrow().schema
    with pq.ParquetWriter(
        out,
        schema,
        compression="zstd",
        compression_level=1,
        use_dictionary=False,
        write_page_checksum=True,
        store_schema=False,
    ) as writer:
        for piece in index.pieces():
            writer.write_table(piece.to_arrow())
        writer.add_key_value_metadata(meta)


def _packed(bodies: Sequence[Mapping[str, Any]]) -> str:
    """A list of files as text: with a page a day it would soon be larger than the entries."""
    return base64.b64encode(zlib.compress(json.dumps(bodies).encode(), 9)).decode()


def _unpacked(text: str) -> list[dict[str, Any]]:
    return list(json.loads(zlib.decompress(base64.b64decode(text))))


def drop_indexes(log: TableLog) -> None:
    """Delete every stored index of a table."""
    for key in _stored(log):
        log.root.delete(key)


def _stored(log: TableLog) -> list[str]:
    keys = [entry.key for entry in log.root.list(index_folder(log)) if _NAME.search(entry.key)]
    return sorted(keys, key=lambda key: int(_NAME.search(key).group(2)))  # type: ignore[union-attr]


def newest_index_key(log: TableLog) -> str | None:
    """Key of the newest stored index."""
    return next(reversed(_stored(log)), None)


def read_index(log: TableLog, key: str) -> StateIndex:
    """An index file.

    Raises:
        HoldfastError: DAMAGED if it is not what `save_index` wrote.
    """
    named = _NAME.search(key)
    try:
        with tempfile.TemporaryFile(prefix="holdfast-") as file:
            hashed = hashlib.sha256()
            for piece in log.root.pieces(key, _PIECE_BYTES):
                hashed.update(piece)
                file.write(piece)
            if named is None or hashed.hexdigest() != named.group(3):
                raise ValueError("other bytes than were written")
            file.seek(0)
            return _parsed(file)
    except (
        pa.ArrowException,
        OSError,
        ValueError,
        KeyError,
        TypeError,
        zlib.error,
        pl.exceptions.PolarsError,
    ) as error:
        raise HoldfastError(Kind.DAMAGED, f"The state index {key} is damaged.", detail=str(error)) from error


def _parsed(file: IO[bytes]) -> StateIndex:
    with pq.ParquetFile(file) as parquet:
        meta = json.loads(parquet.schema_arrow.metadata[_META.encode()])
        rows = SortedRows(ENTRY_SCHEMA)
        for number in range(parquet.num_row_groups):
            rows = rows.with_rows(pl.DataFrame(pl.from_arrow(parquet.read_row_group(number))).cast(ENTRY_SCHEMA))  # type: ignore[arg-type]
    return StateIndex(
        meta["commit_seq"],
        meta["version"],
        meta["head"],
        tuple(EventFile.from_json(body) for body in _unpacked(meta["files"])),
        tuple(meta["prefixes"]),
        rows,
        alive=meta["alive"],
        merged=tuple(StoredFile.from_json(body) for body in _unpacked(meta["merged"])),
    )


def load_index(log: TableLog, version: int) -> StateIndex:
    """The newest stored index that belongs to the log up to a version; the empty one if there is none."""
    for key in reversed(_stored(log)):
        try:
            index = read_index(log, key)
            if index.version <= version and log.read(index.version).chain_head().head == index.head:
                return index
        except HoldfastError as error:
            if error.kind not in (Kind.DAMAGED, Kind.NOT_FOUND):
                raise
    return NOTHING


def replayed(log: TableLog, index: StateIndex, version: int, now: Layout | None = None) -> StateIndex:
    """The index after the commits up to a version.

    Args:
        now: Where the rows lie, if the table has gone on since that version.
    """
    for after in states(log, index, version, now):
        index = after
    return index


def states(log: TableLog, index: StateIndex, version: int, now: Layout | None = None) -> Iterator[StateIndex]:
    """The index after each commit up to a version, in turn; for `now` see `replayed`."""
    commits = [log.read(number) for number in range(index.version + 1, version + 1)]
    layouts = list(accumulate(commits, _layout_after, initial=index.layout))[1:]
    reader = _Rows(log, now or (layouts[-1] if layouts else index.layout))
    for commit, layout in zip(commits, layouts, strict=True):
        for file in commit.files:
            if file.mode == "bodies":
                index = index.with_bodies(file)
                continue
            rows = reader.of(len(index.files))
            keys, index = index.keys_of(rows["id"])
            index = index.with_file(file, rows.with_columns(keys, pl.col("stamp").fill_null(NO_STAMP)))
        head = commit.chain_head()
        index = replace(index.covering(head.commit_seq, commit.version, head.head), merged=layout.merged)
        yield index


def _layout_after(layout: Layout, commit: LogCommit) -> Layout:
    layout = layout.appended(commit.files)
    return layout.replaced(commit.replacement) if commit.replacement else layout


class _Rows:
    """Reads the pages' rows, wherever they lie; pages that were merged into one file are read with one reading."""

    def __init__(self, log: TableLog, layout: Layout) -> None:
        self._log, self._layout = log, layout
        self._path, self._rows = "", pl.DataFrame()

    def of(self, number: int) -> pl.DataFrame:
        """What the index needs of a page file; `row` counts from the page's first."""
        place, rows = self._layout.place(number), self._layout.pages[number].rows
        if place.path != self._path:
            key = f"{table_key(self._log.job_id, self._log.object)}/{place.path}"
            self._path, self._rows = place.path, index_rows(self._log.root, key)
        return self._rows.slice(place.start, rows).with_columns(pl.col("row") - place.start)


def rebuilt(log: TableLog, version: int, now: Layout | None = None) -> StateIndex:
    """The index made from the table alone; for `now` see `replayed`."""
    return replayed(log, NOTHING, version, now)


def same_entries(one: StateIndex, other: StateIndex) -> bool:
    """Whether two indexes say the same of every record, however their prefixes and files are numbered."""
    if one.alive != other.alive or sum(map(len, one.pieces())) != sum(map(len, other.pieces())):
        return False
    return all(_says_the_same(piece, one, other) for piece in one.pieces())


def _says_the_same(entries: pl.DataFrame, one: StateIndex, other: StateIndex) -> bool:
    """Whether entries of one index are in the other."""
    if not len(entries):
        return True
    prefixes, known = {head: number for number, head in enumerate(other.prefixes)}, len(other.prefixes)
    numbers = pl.Series([prefixes.get(head, known) for head in one.prefixes], dtype=pl.UInt64)
    paths = {file.path: number for number, file in enumerate(other.files)}
    files = pl.Series([paths.get(file.path, len(paths)) for file in one.files], dtype=pl.UInt32)
    keys = entries["key"]
    if not holds_keyed(one.prefixes):
        keys = numbers.gather(keys // (1 << 48)).alias("key") * (1 << 48) + keys % (1 << 48)
    renumbered = entries.with_columns(
        keys,
        files.gather(entries["file"]).alias("file"),
    ).sort("key")
    return renumbered.equals(other.lookup(renumbered["key"]))
