"""Values as they were: the last observed value of fields of some records, for the comparison of a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from holdfast.vault.diff import changed_fields
from holdfast.vault.files import damaged, read_rows
from holdfast.vault.fingerprint import prints_of
from holdfast.vault.layout import Layout
from holdfast.vault.location import VaultRoot
from holdfast.vault.refs import EventFile
from holdfast.vault.schema import RecordSchema


@dataclass(frozen=True)
class Past:
    """The files of a table, to be asked for values.

    Attributes:
        table: Key of the table's folder.
        layout: In which files the events of the table's pages lie.
        schemas: Every schema that the files name.
        likely: Fields that moved before; those that move are added.
    """

    root: VaultRoot
    table: str
    layout: Layout
    schemas: Mapping[str, RecordSchema]
    likely: set[str] = field(default_factory=set)

    def changes(self, wanted: pl.DataFrame, now: pl.DataFrame, names: Sequence[str]) -> pl.Series:
        """Names of the fields whose values moved, one sorted list per record (null if none did).

        Fields that moved before are read first. If their difference accounts for that of the fingerprints, no other
        field moved, and nothing else has to be read: of a wide object that is most of the work.

        Args:
            wanted: `id`, `s_file`, `s_row`, `s_print`, `print`: the records, the places of their newest events, their
                fingerprints there, and now.
            now: The values now, in the same order.
            names: Fields to compare, sorted.

        Raises:
            HoldfastError: DAMAGED if values are not those of their fingerprint; NOT_FOUND.
        """
        parts = []
        for (number,), group in wanted.with_row_index("at").group_by("s_file"):
            after = now[group["at"]]
            moved = self._likely(int(number), group, after, names)
            if moved is None:
                before = self._last(int(number), group, names)
                moved = changed_fields(before, after, names)
                self.likely.update(moved.explode().drop_nulls().to_list())
            parts.append(pl.DataFrame({"at": group["at"], "changed": moved}))
        if not parts:
            return pl.Series("changed", [], dtype=pl.List(pl.String))
        return pl.concat(parts).sort("at")["changed"]

    def _likely(self, number: int, group: pl.DataFrame, after: pl.DataFrame, names: Sequence[str]) -> pl.Series | None:
        """The changes, if they are all in fields that moved before; None if that cannot be said."""
        likely = sorted(self.likely.intersection(names))
        if not likely or list(names) != list(self.schemas[self.layout.pages[number].schema].compared):
            return None
        place = self.layout.place(number)
        before = read_rows(self.root, f"{self.table}/{place.path}", group["s_row"] + place.start, likely)
        moved = prints_of(after, likely).reinterpret(signed=False) - prints_of(before, likely).reinterpret(signed=False)
        whole = group["print"].reinterpret(signed=False) - group["s_print"].reinterpret(signed=False)
        return changed_fields(before, after, likely) if moved.equals(whole) else None

    def _last(self, number: int, group: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
        """Last observed values of records whose newest events are in one page.

        A field that a record's newest event did not observe is looked for in the events before it: slow, and
        only needed after a field was hidden from one run and seen by a later one.
        """
        rows = self._rows(number, group, names)
        hidden = self._hidden(self.layout.pages[number], names)
        return rows.with_columns(self._older(number, group["id"], hidden).get_columns()) if hidden else rows

    def _rows(self, number: int, group: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
        """Rows of a page, proven by their fingerprints to be what was written."""
        place = self.layout.place(number)
        key = f"{self.table}/{place.path}"
        printed = self.schemas[self.layout.pages[number].schema].compared
        rows = read_rows(self.root, key, group["s_row"] + place.start, sorted({*names, *printed}))
        if not prints_of(rows, printed).equals(group["s_print"]):
            raise damaged(key, ValueError("values are not those of their fingerprint"))
        return rows.select(names)

    def _hidden(self, file: EventFile, names: Sequence[str]) -> list[str]:
        """Fields that the file did not observe although another file did."""
        absent = set(names) - self.schemas[file.schema].names
        if not absent:
            return []
        seen = frozenset[str]().union(*(self.schemas[schema].names for schema in {f.schema for f in self.layout.pages}))
        return sorted(absent & seen)

    def _older(self, before: int, ids: pl.Series, names: Sequence[str]) -> pl.DataFrame:
        """The newest observation of each field in the files before one, newest file first."""
        unknown = pl.repeat(True, len(ids), dtype=pl.Boolean, eager=True)
        found = {name: pl.repeat(None, len(ids), dtype=pl.String, eager=True).alias(name) for name in names}
        open_for = dict.fromkeys(names, unknown)
        for number in reversed(range(before)):
            seen = self.schemas[self.layout.pages[number].schema].names
            here = [name for name in names if name in seen and open_for[name].any()]
            if not here:
                continue
            rows = ids.to_frame("id").join(self._events(number, here), on="id", how="left", maintain_order="left")
            known = rows["known"].fill_null(False)
            for name in here:
                found[name] = rows[name].zip_with(open_for[name] & known, found[name]).alias(name)
                open_for[name] = open_for[name] & ~known
        return pl.DataFrame(list(found.values()))

    def _events(self, number: int, names: Sequence[str]) -> pl.DataFrame:
        """The rows of one page."""
        place = self.layout.place(number)
        rows = pl.int_range(place.start, place.start + self.layout.pages[number].rows, dtype=pl.UInt32, eager=True)
        events = read_rows(self.root, f"{self.table}/{place.path}", rows, ["_record_id", *names])
        return events.rename({"_record_id": "id"}).with_columns(known=True)
