"""Rows, by object: immutable columnar chunks of text, sorted by id, and the changes that are not yet folded in.

A change costs what it changes: it waits beside the chunks, and reading folds it into the chunks it touches, never
into the others. Frames and scans handed out keep the values of their moment, since nothing is changed in place; that
is what lets a cursor or a Bulk result outlive later saves. Chunks lie in memory or in files mapped into memory
(`store.disk`); a table does not know which.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence

import polars as pl

from holdfast.orgsim.store import chunks as chunked

Row = dict[str, str | None]


class Table:
    """The rows of one object, deleted ones included until they are purged. `version` grows with every change."""

    def __init__(self, columns: Sequence[str]) -> None:
        self._empty = pl.DataFrame(schema=dict.fromkeys(columns, pl.String))
        self._chunks: list[pl.DataFrame] = []
        self._firsts: list[str] = []  # the lowest id of each chunk
        self._singles: dict[str, Row | None] = {}  # newest; None: removed
        self._run = self._empty  # rows put in columns since the last fold; older than the singles
        self._whole: pl.DataFrame | None = None
        self.version = 0

    @property
    def columns(self) -> list[str]:
        """Names of the columns, in order."""
        return self._empty.columns

    def __len__(self) -> int:
        self._fold()
        return sum(chunk.height for chunk in self._chunks)

    def scan(self) -> pl.LazyFrame:
        """All rows as of now, deleted ones too, in id order. Select and filter before collecting."""
        return self.frame().lazy()

    def frame(self) -> pl.DataFrame:
        """All rows as of now, in id order, without copying those that lie in chunks."""
        self._fold()
        if self._whole is None:
            self._whole = pl.concat(self._chunks, rechunk=False) if self._chunks else self._empty
        return self._whole

    def frozen(self) -> Table:
        """A table with the rows of this moment, which later changes of this one do not reach."""
        self._fold()
        made = Table(self.columns)
        made._chunks, made._firsts, made._whole = list(self._chunks), list(self._firsts), self._whole
        made.version = self.version
        return made

    def rows(self) -> Iterator[Row]:
        """Every row as a dict, in id order."""
        return self.frame().iter_rows(named=True)

    def get(self, record_id: str) -> Row | None:
        """The row with this id as a new dict, or None."""
        if record_id in self._singles:
            row = self._singles[record_id]
            return None if row is None else dict(row)
        if self._run.height:
            found = self._run.filter(pl.col("Id") == record_id)
            if found.height:
                return found.row(0, named=True)
        number = bisect_right(self._firsts, record_id) - 1
        if number >= 0:
            ids = self._chunks[number]["Id"]
            position = bisect_left(ids, record_id)
            if position < len(ids) and ids[position] == record_id:
                return self._chunks[number].row(position, named=True)
        return None

    def fetch(self, ids: pl.Series) -> pl.DataFrame:
        """The rows with these ids, in the order asked; an unknown id has none."""
        self._settle()
        asked = ids.rename("Id").to_frame()
        unique = asked["Id"].drop_nulls().unique().sort()
        recent = self._run.filter(pl.col("Id").is_in(unique.implode()))
        older = chunked.pick(self._chunks, self._firsts, _without(unique, recent["Id"]))
        rows = pl.concat([self._empty, recent, *older], rechunk=True)
        return asked.join(rows, on="Id", how="inner", maintain_order="left").select(self.columns)

    def span(self, first: str, before: str | None) -> pl.DataFrame:
        """The rows with ids from `first` on, below `before` if that is given. Nothing is copied."""
        self._fold()
        number = max(0, bisect_right(self._firsts, first) - 1)
        found = [self._empty]
        for chunk in self._chunks[number:]:
            ids = chunk["Id"]
            if before is not None and ids[0] >= before:
                break
            start = bisect_left(ids, first)
            end = len(ids) if before is None else bisect_left(ids, before)
            found.append(chunk.slice(start, max(0, end - start)))
        return pl.concat(found, rechunk=False)

    def where_in(self, column: str, values: pl.Series) -> pl.DataFrame:
        """The rows whose `column` holds one of `values`, in id order."""
        self._settle()
        wanted = values.drop_nulls().cast(pl.String).implode()
        found = []
        if self._chunks:
            held = pl.concat([chunk[column] for chunk in self._chunks], rechunk=False)
            found = chunked.where(self._chunks, held.is_in(wanted))
        if self._run.height:
            overtaken = pl.col("Id").is_in(self._run["Id"].implode())
            found = [rows.filter(~overtaken) for rows in found]
            found.append(self._run.filter(pl.col(column).is_in(wanted)))
        return pl.concat([self._empty, *found], rechunk=True).sort("Id")

    def put(self, record_id: str, row: Row) -> None:
        """Insert or replace a row."""
        self._singles[record_id] = row
        self._changed()

    def remove(self, record_id: str) -> None:
        """Forget a row for good."""
        self._singles[record_id] = None
        self._changed()

    def put_rows(self, rows: pl.DataFrame) -> None:
        """Insert or replace many complete rows. The last of several with the same id counts."""
        self._settle()
        rows = self._conformed(rows).unique("Id", keep="last", maintain_order=True)
        kept = self._run
        if kept.height:
            kept = kept.filter(~pl.col("Id").is_in(rows["Id"].implode()))
        self._run = pl.concat([kept, rows], rechunk=False)
        self._changed()
        if self._run.height > chunked.CHUNK_ROWS:
            self._fold()

    def remove_rows(self, ids: pl.Series) -> None:
        """Forget many rows for good."""
        self._singles.update(dict.fromkeys(ids.to_list()))
        self._changed()

    def load(self, rows: pl.DataFrame) -> None:
        """Append many rows at once. Columns that `rows` lacks are null."""
        rows = self._conformed(rows).sort("Id")
        self._fold()
        if not rows.height:
            return
        if self._chunks and rows["Id"][0] <= self._chunks[-1]["Id"][-1]:
            self.put_rows(rows)
        else:
            self.attach(chunked.split(rows))

    def attach(self, parts: Sequence[pl.DataFrame]) -> None:
        """Append chunks as they are: each sorted by id, all above the rows that are there. Missing columns are null."""
        self._fold()
        self._chunks += [self._conformed(part) for part in parts if part.height]
        self._firsts = [chunk["Id"][0] for chunk in self._chunks]
        self._changed()

    def add_columns(self, names: Sequence[str]) -> None:
        """Widen the table; older rows hold nothing in the new columns."""
        new = [n for n in names if n not in self.columns]
        if new:
            self._empty = self._conformed(self._empty, [*self.columns, *new])
            self._run = self._conformed(self._run)
            self._chunks = [self._conformed(chunk) for chunk in self._chunks]
            self._changed()

    def _conformed(self, rows: pl.DataFrame, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """The table's columns in its order, of text; null where `rows` has none."""
        wanted = self.columns if columns is None else columns
        present = set(rows.columns)
        return rows.select(
            pl.col(n).cast(pl.String) if n in present else pl.lit(None, dtype=pl.String).alias(n) for n in wanted
        )

    def _changed(self) -> None:
        self._whole = None
        self.version += 1

    def _settle(self) -> None:
        """Turn rows put one by one into columns."""
        if not self._singles:
            return
        if None in self._singles.values():
            self._fold()
            return
        self._run = pl.concat([self._superseded(self._run), self._single_rows()], rechunk=False)
        self._singles = {}

    def _superseded(self, rows: pl.DataFrame) -> pl.DataFrame:
        """`rows` without those that were put or removed one by one since."""
        if not self._singles or not rows.height:
            return rows
        return rows.filter(~pl.col("Id").is_in(pl.Series(list(self._singles), dtype=pl.String).implode()))

    def _single_rows(self) -> pl.DataFrame:
        fresh = [row for row in self._singles.values() if row is not None]
        columns = {n: [row.get(n) for row in fresh] for n in self.columns}
        return pl.DataFrame(columns, schema=self._empty.schema)

    def _fold(self) -> None:
        """Bring the chunks up to date. Only those that hold a changed id are made anew."""
        if not self._singles and not self._run.height:
            return
        fresh = pl.concat([self._superseded(self._run), self._single_rows()], rechunk=False).sort("Id")
        removed = pl.Series("Id", [i for i, row in self._singles.items() if row is None], dtype=pl.String)
        self._singles, self._run = {}, self._empty
        self._chunks = chunked.fold(self._chunks, self._firsts, fresh, removed)
        self._firsts = [chunk["Id"][0] for chunk in self._chunks]
        self._whole = None


def _without(ids: pl.Series, known: pl.Series) -> pl.Series:
    return ids.filter(~ids.is_in(known.implode())) if len(known) else ids
