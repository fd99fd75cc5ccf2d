"""The state of every record of a table: 33 bytes a record in scratch files, the latest changes in memory.

An index is a value: `with_file` gives another one and shares the large part. So a change is prepared on a
copy, and thrown away by forgetting it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeVar

import polars as pl

from holdfast.vault.chunks import Chunk, SortedRows
from holdfast.vault.layout import Layout, Replacement, StoredFile
from holdfast.vault.record_id import pack, unpack
from holdfast.vault.refs import EventFile

_SAID = ("key", "print", "stamp", "deleted")
_Asked = TypeVar("_Asked", pl.Series, pl.DataFrame)

# A null stamp is older than every other.
NO_STAMP = -(2**63)
ENTRY_SCHEMA: dict[str, type[pl.DataType]] = {
    "key": pl.UInt64,
    "print": pl.Int64,
    "stamp": pl.Int64,
    "file": pl.UInt32,
    "row": pl.UInt32,
    "deleted": pl.Boolean,
}


def _no_entries() -> SortedRows:
    return SortedRows(ENTRY_SCHEMA)


@dataclass(frozen=True)
class StateIndex:
    """Where each record's newest event is, and what is needed to compare with it.

    Attributes:
        commit_seq: Number of the last append that is covered.
        version: Delta version that is covered.
        head: Chain head that is covered.
        files: The files of the table's pages in order of appends; entries point into it, and stay as they are when
            files are merged.
        merged: Files that others were merged into.
        prefixes: Prefixes of ids; keys point into it.
        rows: Entries, one per record.
        alive: Records that are not deleted.
    """

    commit_seq: int
    version: int
    head: str
    files: tuple[EventFile, ...] = ()
    prefixes: tuple[int, ...] = ()
    rows: SortedRows = field(default_factory=_no_entries)
    alive: int = 0
    merged: tuple[StoredFile, ...] = ()

    @cached_property
    def layout(self) -> Layout:
        """In which file the events of each page lie."""
        return Layout(self.files, self.merged)

    @property
    def size(self) -> int:
        """About how many records there are: those that moved lately count twice."""
        return self.rows.size

    def keys_of(self, ids: pl.Series) -> tuple[pl.Series, StateIndex]:
        """Keys of ids, and the index that knows their prefixes."""
        prefixes = list(self.prefixes)
        keys = pack(ids, prefixes)
        same = len(prefixes) == len(self.prefixes)
        return keys, self if same else replace(self, prefixes=tuple(prefixes))

    def lookup(self, keys: pl.Series) -> pl.DataFrame:
        """Entries of keys, one row per key in their order; all null where there is none.

        Args:
            keys: Sorted.
        """
        found = self._by_chunk(keys, _of_chunk)
        if not len(self.rows.recent):
            return found
        newer = _find(self.rows.recent, keys)
        hit = newer["key"].is_not_null()
        columns = [newer[name].zip_with(hit, found[name]) for name in ENTRY_SCHEMA]
        return pl.DataFrame(columns)

    def repeats(self, rows: pl.DataFrame) -> pl.Series:
        """Which observations say exactly what the state says: most of a full reading, and found without a lookup.

        Args:
            rows: `key`, `print`, `stamp`, `deleted`, sorted by key.
        """
        same = self._by_chunk(rows, _same_in_chunk)["same"]
        if not len(self.rows.recent):
            return same
        newer = _same(self.rows.recent.select(_SAID), rows)
        return newer["same"].zip_with(newer["hit"], same)

    def _by_chunk(self, asked: _Asked, answer: Callable[[Chunk | None, _Asked], pl.DataFrame]) -> pl.DataFrame:
        """What chunks answer to the keys that lie in them, one after the other; None answers where there is no chunk.

        Args:
            asked: Keys, or rows with keys; sorted.
        """
        if not self.rows.chunks:
            return answer(None, asked)
        cuts = self.rows.cuts(asked if isinstance(asked, pl.Series) else asked["key"])
        parts = [
            answer(chunk, asked[start:end])
            for chunk, start, end in zip(self.rows.chunks, cuts, cuts[1:], strict=False)
            if start < end
        ]
        return pl.concat(parts) if parts else answer(None, asked)

    def with_file(self, file: EventFile, changes: pl.DataFrame) -> StateIndex:
        """The index after a file's events.

        Args:
            file: Becomes the newest file.
            changes: `key`, `print`, `stamp`, `row`, `deleted`, one row per record, in any order.
        """
        number = len(self.files)
        entries = changes.select(
            "key", "print", "stamp", pl.lit(number, pl.UInt32).alias("file"), "row", "deleted"
        ).sort("key")
        before = self.lookup(entries["key"])["deleted"]
        alive = self.alive + int((~entries["deleted"]).sum()) - int((~before).fill_null(False).sum())
        return replace(self, files=(*self.files, file), rows=self.rows.with_rows(entries), alive=alive)

    def with_bodies(self, file: EventFile) -> StateIndex:
        """The index after a file of bodies, which moves no record's state."""
        return replace(self, files=(*self.files, file))

    def with_replacement(self, replacement: Replacement) -> StateIndex:
        """The index after a compaction, which moves rows and changes none."""
        return replace(self, merged=self.layout.replaced(replacement).merged)

    def covering(self, commit_seq: int, version: int, head: str) -> StateIndex:
        """The same entries, stamped with the commit that they stand for."""
        return replace(self, commit_seq=commit_seq, version=version, head=head)

    def pieces(self) -> Iterator[pl.DataFrame]:
        """All entries, piece by piece in order of keys."""
        return self.rows.pieces()

    def record_ids(self, keys: pl.Series) -> list[str]:
        """The ids of keys; for reports."""
        return unpack(keys, self.prefixes)

    def orders(self) -> pl.Series:
        """(`_run`, `_seq`) of each file as one number that compares alike."""
        return pl.Series([order_number(file.run, file.seq) for file in self.files], dtype=pl.Int64)

    @property
    def stamped(self) -> bool:
        """Whether any record has a stamp."""
        return any((entries["stamp"] != NO_STAMP).any() for entries in self.pieces())


def order_number(run: int, seq: int) -> int:
    """(`run`, `seq`) as one number that compares alike."""
    return (run << 32) | seq


def _places(known: pl.Series, keys: pl.Series) -> pl.DataFrame:
    """`place`: where keys would be among the known ones, sorted and at least one."""
    found = pl.lit(known).search_sorted(pl.col("key")).clip(0, len(known) - 1)
    return keys.to_frame("key").select(found.alias("place"))


def _find(entries: pl.DataFrame, keys: pl.Series) -> pl.DataFrame:
    places = _places(entries["key"], keys)
    hit = pl.lit(entries["key"]).gather(pl.col("place")) == pl.lit(keys)
    return entries[places.select(pl.when(hit).then("place"))["place"]]


def _of_chunk(chunk: Chunk | None, keys: pl.Series) -> pl.DataFrame:
    if chunk is None:
        return pl.DataFrame(schema=ENTRY_SCHEMA).clear(len(keys))
    return _find(chunk.frame(), keys)


def _same_in_chunk(chunk: Chunk | None, rows: pl.DataFrame) -> pl.DataFrame:
    if chunk is None:
        return pl.DataFrame({"same": pl.repeat(False, len(rows), dtype=pl.Boolean, eager=True)})
    return _same(pl.DataFrame([chunk.column(name) for name in _SAID]), rows).select("same")


def _same(known: pl.DataFrame, rows: pl.DataFrame) -> pl.DataFrame:
    """`hit`: which rows have an entry; `same`: which have one that says what they say."""
    near = known[_places(known["key"], rows["key"])["place"]]
    equal = [(pl.lit(near[name]) == pl.col(name)).alias(name) for name in _SAID]
    return rows.select(equal).select(pl.col("key").alias("hit"), pl.all_horizontal(_SAID).alias("same"))
