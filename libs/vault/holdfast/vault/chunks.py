"""Rows sorted by key, in scratch files on the disk: what grows with a table and can be made again at any time.

A scratch file has no name, so that it goes with its process, however that ends. Rows are read by column and chunk into
memory that is given back, never mapped: what a process holds does not grow with the table.
"""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import polars as pl
import pyarrow as pa

KEY = "key"
CHUNK_ROWS = 1 << 15
# Rows that came lately are in memory: enough that those of many pages reach the disk at once.
RECENT_ROWS = 1 << 17
Schema = Mapping[str, type[pl.DataType]]
_STORED: dict[type[pl.DataType], pa.DataType] = {
    pl.UInt64: pa.uint64(),
    pl.Int64: pa.int64(),
    pl.UInt32: pa.uint32(),
    pl.Boolean: pa.uint8(),
}


class _Scratch:
    """A file without a name; gone with the last chunk in it."""

    def __init__(self) -> None:
        self.handle, path = tempfile.mkstemp(prefix="holdfast-rows-")
        Path(path).unlink()
        weakref.finalize(self, os.close, self.handle)
        self._end = 0

    def put(self, data: memoryview) -> int:
        """Append bytes; where they begin."""
        start, written = self._end, 0
        while written < len(data):
            written += os.pwrite(self.handle, data[written:], start + written)
        self._end += written
        return start


@dataclass(frozen=True)
class Chunk:
    """Some rows, by column, with the range of their keys."""

    file: _Scratch
    schema: Schema
    places: Mapping[str, int]
    rows: int
    first: int
    last: int

    @classmethod
    def of(cls, rows: pl.DataFrame, schema: Schema, file: _Scratch) -> Chunk:
        """Write sorted rows, at least one."""
        places = {}
        for name, kind in schema.items():
            stored = rows[name].cast(pl.UInt8) if kind is pl.Boolean else rows[name]
            values = stored.rechunk().to_arrow()
            width = _STORED[kind].bit_width // 8
            start = values.offset * width
            places[name] = file.put(memoryview(values.buffers()[1])[start : start + len(rows) * width])
        return cls(file, schema, places, len(rows), rows[KEY][0], rows[KEY][-1])

    def column(self, name: str) -> pl.Series:
        """One column, read."""
        kind = _STORED[self.schema[name]]
        size = self.rows * kind.bit_width // 8
        data = os.pread(self.file.handle, size, self.places[name])
        if len(data) != size:
            raise OSError("a scratch file is shorter than what was written to it")
        values = pl.Series(name, pa.Array.from_buffers(kind, self.rows, [None, pa.py_buffer(data)]))
        return values.cast(pl.Boolean) if self.schema[name] is pl.Boolean else values

    def frame(self) -> pl.DataFrame:
        """All columns."""
        return pl.DataFrame([self.column(name) for name in self.schema])


@dataclass(frozen=True)
class SortedRows:
    """Rows with a key that occurs once, sorted by it; as a value: `with_rows` gives another and shares what is equal.

    Attributes:
        schema: Columns; `key` is one.
        order: Which of two rows with one key stays: the later by these columns, on a tie the one that came later.
        chunks: Rows on the disk, in order; recent ones take their place.
        recent: Rows in memory.
    """

    schema: Schema
    order: tuple[str, ...] = (KEY,)
    chunks: tuple[Chunk, ...] = ()
    recent: pl.DataFrame = field(default_factory=pl.DataFrame)

    def __post_init__(self) -> None:
        if not self.recent.columns:
            object.__setattr__(self, "recent", pl.DataFrame(schema=self.schema))

    @cached_property
    def stored(self) -> int:
        """Rows on the disk."""
        return sum(chunk.rows for chunk in self.chunks)

    @property
    def size(self) -> int:
        """About how many rows there are: those that came lately may count twice."""
        return self.stored + len(self.recent)

    @property
    def bytes(self) -> int:
        """On the disk and in memory."""
        width: int = sum(_STORED[kind].bit_width // 8 for kind in self.schema.values())
        return self.stored * width + int(self.recent.estimated_size())

    @cached_property
    def bounds(self) -> pl.Series:
        """The first key of each chunk but the first: where one chunk ends and the next begins."""
        return pl.Series([chunk.first for chunk in self.chunks[1:]], dtype=pl.UInt64)

    def cuts(self, keys: pl.Series) -> list[int]:
        """Where sorted keys have to be cut so that each part lies in one chunk, both ends included."""
        return [0, *keys.search_sorted(self.bounds, side="left").to_list(), len(keys)]

    def with_rows(self, rows: pl.DataFrame) -> SortedRows:
        """The rows with others added, sorted or not; of one key one of them stays."""
        recent = self._merged(self.recent, rows.select(*self.schema))
        if len(recent) <= RECENT_ROWS:
            return replace(self, recent=recent)
        return replace(self, chunks=self._chunks_with(recent), recent=recent.clear())

    def _chunks_with(self, recent: pl.DataFrame) -> tuple[Chunk, ...]:
        """The chunks with rows in them; those that get none stay the same."""
        scratch = _Scratch()
        if not self.chunks:
            return tuple(self._written(recent, scratch))
        cuts, found = self.cuts(recent[KEY]), []
        for chunk, start, end in zip(self.chunks, cuts, cuts[1:], strict=False):
            more = recent[start:end]
            found += [*self._written(self._merged(chunk.frame(), more), scratch)] if len(more) else [chunk]
        return tuple(found)

    def _written(self, rows: pl.DataFrame, scratch: _Scratch) -> Iterator[Chunk]:
        for part in rows.iter_slices(CHUNK_ROWS):
            yield Chunk.of(part, self.schema, scratch)

    def pieces(self) -> Iterator[pl.DataFrame]:
        """All rows, piece by piece in order."""
        if not self.chunks:
            yield self.recent
            return
        cuts = self.cuts(self.recent[KEY])
        for chunk, start, end in zip(self.chunks, cuts, cuts[1:], strict=False):
            yield self._merged(chunk.frame(), self.recent[start:end])

    def between(self, first: int, last: int) -> pl.DataFrame:
        """The rows with keys in a range, both ends included."""
        within = pl.col(KEY).is_between(pl.lit(first, pl.UInt64), pl.lit(last, pl.UInt64))
        near = [chunk.frame().filter(within) for chunk in self.chunks if chunk.first <= last and first <= chunk.last]
        return self._merged(pl.concat([self.recent.clear(), *near]), self.recent.filter(within))

    def _merged(self, older: pl.DataFrame, newer: pl.DataFrame) -> pl.DataFrame:
        if not len(newer):
            return older
        both = pl.concat([older, newer]).rechunk()
        keys = both[KEY]
        if (keys.head(len(keys) - 1) < keys.tail(len(keys) - 1)).all():
            return both  # most rows come in order of keys
        both = both.sort(*dict.fromkeys((KEY, *self.order)), maintain_order=True)
        return both.filter((both[KEY] != both[KEY].shift(-1)).fill_null(True))
