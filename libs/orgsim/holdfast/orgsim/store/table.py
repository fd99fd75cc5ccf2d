"""Rows, by object: a columnar base of immutable text columns, sorted by id, plus an overlay of changed rows.

Reading (`frame`) folds the overlay into a new base; frames handed out before stay as they were, which is what
lets a Bulk result keep the values of the moment its job ran.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence

import polars as pl

Row = dict[str, str | None]


class Table:
    """The rows of one object, deleted ones included until they are purged."""

    def __init__(self, columns: Sequence[str]) -> None:
        self._base = pl.DataFrame(schema=dict.fromkeys(columns, pl.String))
        self._ids = self._base["Id"]
        self._overlay: dict[str, Row | None] = {}
        self.version = 0

    @property
    def columns(self) -> list[str]:
        """Names of the columns, in order."""
        return self._base.columns

    def add_columns(self, names: Sequence[str]) -> None:
        """Widen the table; older rows hold nothing in the new columns."""
        new = [n for n in names if n not in self._base.columns]
        if new:
            self._base = self._base.with_columns([pl.lit(None, dtype=pl.String).alias(n) for n in new])
            self.version += 1

    def load(self, rows: pl.DataFrame) -> None:
        """Append many rows at once. Columns that `rows` lacks are null."""
        self.frame()
        rows = rows.with_columns(
            [pl.lit(None, dtype=pl.String).alias(n) for n in self.columns if n not in rows.columns]
        ).select(self.columns)
        self._replace_base(pl.concat([self._base, rows], rechunk=False).sort("Id"))

    def get(self, record_id: str) -> Row | None:
        """The row with this id as a new dict, or None."""
        if record_id in self._overlay:
            row = self._overlay[record_id]
            return None if row is None else dict(row)
        position = bisect_left(self._ids, record_id)
        if position < len(self._ids) and self._ids[position] == record_id:
            return dict(zip(self._base.columns, self._base.row(position), strict=True))
        return None

    def put(self, record_id: str, row: Row) -> None:
        """Insert or replace a row."""
        self._overlay[record_id] = row
        self.version += 1

    def remove(self, record_id: str) -> None:
        """Forget a row for good."""
        self._overlay[record_id] = None
        self.version += 1

    def frame(self) -> pl.DataFrame:
        """All rows as of now, sorted by id. Immutable."""
        if self._overlay:
            gone = pl.Series("Id", list(self._overlay), dtype=pl.String)
            kept = self._base.filter(~pl.col("Id").is_in(gone.implode()))
            fresh = [row for row in self._overlay.values() if row is not None]
            columns = {n: [row.get(n) for row in fresh] for n in self.columns}
            added = pl.DataFrame(columns, schema=self._base.schema)
            self._overlay = {}
            version = self.version
            self._replace_base(pl.concat([kept, added], rechunk=False).sort("Id"))
            self.version = version
        return self._base

    def rows(self) -> Iterator[Row]:
        """Every row as a dict, sorted by id."""
        return self.frame().iter_rows(named=True)

    def __len__(self) -> int:
        return self.frame().height

    def _replace_base(self, base: pl.DataFrame) -> None:
        self._base = base.rechunk()
        self._ids = self._base["Id"]
        self.version += 1
