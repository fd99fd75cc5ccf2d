"""The state of every record of a table, small enough to be held in memory: 33 bytes a record.

An index is a value: `with_file` gives another one and shares the large part. So a change is prepared on a
copy, and thrown away by forgetting it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import polars as pl

from holdfast.vault.layout import Layout, Replacement, StoredFile
from holdfast.vault.record_id import pack, unpack
from holdfast.vault.refs import EventFile

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
# Merging into the large part sorts all of it; a small part of a quarter keeps the sum of merges linear.
_RECENT_ROWS, _RECENT_SHARE = 50_000, 4


def _no_entries() -> pl.DataFrame:
    return pl.DataFrame(schema=ENTRY_SCHEMA)


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
        base, recent: Entries sorted by key; `recent` wins.
        alive: Records that are not deleted.
    """

    commit_seq: int
    version: int
    head: str
    files: tuple[EventFile, ...] = ()
    prefixes: tuple[int, ...] = ()
    base: pl.DataFrame = field(default_factory=_no_entries)
    recent: pl.DataFrame = field(default_factory=_no_entries)
    alive: int = 0
    merged: tuple[StoredFile, ...] = ()

    @cached_property
    def layout(self) -> Layout:
        """In which file the events of each page lie."""
        return Layout(self.files, self.merged)

    @property
    def size(self) -> int:
        """About how many records there are: those that moved lately count twice."""
        return len(self.base) + len(self.recent)

    def keys_of(self, ids: pl.Series) -> tuple[pl.Series, StateIndex]:
        """Keys of ids, and the index that knows their prefixes."""
        prefixes = list(self.prefixes)
        keys = pack(ids, prefixes)
        same = len(prefixes) == len(self.prefixes)
        return keys, self if same else replace(self, prefixes=tuple(prefixes))

    def lookup(self, keys: pl.Series) -> pl.DataFrame:
        """Entries of keys, one row per key in their order; all null where there is none.

        Sorted keys are three times as fast.
        """
        found = _find(self.base, keys)
        if not len(self.recent):
            return found
        newer = _find(self.recent, keys)
        hit = newer["key"].is_not_null()
        columns = [newer[name].zip_with(hit, found[name]) for name in ENTRY_SCHEMA]
        return pl.DataFrame(columns)

    def repeats(self, rows: pl.DataFrame) -> pl.Series:
        """Which observations say exactly what the state says: most of a full reading, and found without a lookup.

        Args:
            rows: `key`, `print`, `stamp`, `deleted`, sorted by key.
        """
        _, same = _same(self.base, rows)
        if not len(self.recent):
            return same
        hit, newer = _same(self.recent, rows)
        return newer.zip_with(hit, same)

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
        base, recent = self.base, _merged(self.recent, entries)
        if len(recent) > max(_RECENT_ROWS, len(base) // _RECENT_SHARE):
            base, recent = _merged(base, recent), _no_entries()
        return replace(self, files=(*self.files, file), base=base, recent=recent, alive=alive)

    def with_bodies(self, file: EventFile) -> StateIndex:
        """The index after a file of bodies, which moves no record's state."""
        return replace(self, files=(*self.files, file))

    def with_replacement(self, replacement: Replacement) -> StateIndex:
        """The index after a compaction, which moves rows and changes none."""
        return replace(self, merged=self.layout.replaced(replacement).merged)

    def covering(self, commit_seq: int, version: int, head: str) -> StateIndex:
        """The same entries, stamped with the commit that they stand for."""
        return replace(self, commit_seq=commit_seq, version=version, head=head)

    def entries(self) -> pl.DataFrame:
        """All entries, sorted by key."""
        return _merged(self.base, self.recent)

    def record_ids(self, keys: pl.Series) -> list[str]:
        """The ids of keys; for reports."""
        return unpack(keys, self.prefixes)

    def orders(self) -> pl.Series:
        """(`_run`, `_seq`) of each file as one number that compares alike."""
        return pl.Series([order_number(file.run, file.seq) for file in self.files], dtype=pl.Int64)

    @property
    def stamped(self) -> bool:
        """Whether any record has a stamp."""
        return any((entries["stamp"] != NO_STAMP).any() for entries in (self.recent, self.base))

    @property
    def bytes(self) -> int:
        """Memory held by the entries."""
        return int(self.base.estimated_size() + self.recent.estimated_size())


def order_number(run: int, seq: int) -> int:
    """(`run`, `seq`) as one number that compares alike."""
    return (run << 32) | seq


def _find(entries: pl.DataFrame, keys: pl.Series) -> pl.DataFrame:
    if not len(entries):
        return entries.clear(len(keys))
    places = entries["key"].search_sorted(keys, side="left").clip(0, len(entries) - 1)
    hit = entries["key"].gather(places) == keys
    return entries[places.to_frame("place").select(pl.when(hit).then("place"))["place"]]


def _same(entries: pl.DataFrame, rows: pl.DataFrame) -> tuple[pl.Series, pl.Series]:
    """Which rows have an entry, and which have one that says the same."""
    if not len(entries):
        never = pl.repeat(False, len(rows), dtype=pl.Boolean, eager=True)
        return never, never
    places = entries["key"].search_sorted(rows["key"], side="left").clip(0, len(entries) - 1)
    hit = entries["key"].gather(places) == rows["key"]
    same = hit
    for name in ("print", "stamp", "deleted"):
        same = same & (entries[name].gather(places) == rows[name])
    return hit, same


def _merged(older: pl.DataFrame, newer: pl.DataFrame) -> pl.DataFrame:
    if not len(older):
        return newer
    if not len(newer):
        return older
    if older["key"][-1] < newer["key"][0]:
        return pl.concat([older, newer])  # a baseline comes in order of ids: nothing is copied
    kept = older.filter(~older["key"].is_in(newer["key"].implode()))
    return pl.concat([kept, newer]).sort("key").rechunk()
