"""Changes of many records at once: what a transaction hands to the ledger, and how a file keeps them in columns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from holdfast.orgsim.ledger.entries import Entry, Values, present

AFTER, BEFORE, NOTE = "after.", "before.", "note"


@dataclass(frozen=True, slots=True)
class Block:
    """One operation on rows of one object.

    Attributes:
        before: The rows as they were, every stored column; None for an insert.
        after: The same rows, in the same order, as they are now; None once they are gone for good.
        notes: Why, for all rows or for each.
    """

    object: str
    operation: str
    who: str
    api: str
    before: pl.DataFrame | None
    after: pl.DataFrame | None
    notes: str | pl.Series | None = None

    @property
    def ids(self) -> pl.Series:
        """The rows' ids."""
        rows = self.before if self.after is None else self.after
        assert rows is not None, "a change without rows"
        return rows["Id"]

    @property
    def height(self) -> int:
        """How many rows."""
        return len(self.ids)

    def entries(self, first: int, at: datetime) -> Iterator[Entry]:
        """One entry per row, numbered from `first`."""
        befores, afters = _rows(self.before), _rows(self.after)
        notes = self.notes.to_list() if isinstance(self.notes, pl.Series) else [self.notes] * self.height
        for row, (record_id, note) in enumerate(zip(self.ids.to_list(), notes, strict=True)):
            before = next(befores)
            set_before = None if before is None else present(before)
            yield Entry(first + row, at, self.object, record_id, self.operation, set_before, next(afters), self.who,
                        self.api, note)  # fmt: skip

    def columns(self) -> pl.DataFrame:
        """The block as one frame: `after.<field>`, `before.<field>` where that differs in any row, `note`."""
        parts: list[pl.Series] = []
        if self.after is not None:
            parts += [column.alias(AFTER + column.name) for column in self.after]
        if self.before is not None:
            parts += [c.alias(BEFORE + c.name) for c in self.before if not self._same(c)]
        if isinstance(self.notes, pl.Series):
            parts.append(self.notes.alias(NOTE))
        return pl.DataFrame(parts)

    def _same(self, column: pl.Series) -> bool:
        return self.after is not None and bool(column.equals(self.after[column.name]))

    @classmethod
    def of_columns(
        cls, frame: pl.DataFrame, object_name: str, operation: str, who: str, api: str, note: str | None, *, had: bool
    ) -> Block:
        """The block that `columns` made. `had`: there were rows before."""
        after = _prefixed(frame, AFTER)
        before = _prefixed(frame, BEFORE)
        if not had:
            before = None
        elif after is not None:
            before = after if before is None else after.with_columns(before)
        notes = frame[NOTE] if NOTE in frame.columns else note
        return cls(object_name, operation, who, api, before, after, notes)


def _prefixed(frame: pl.DataFrame, prefix: str) -> pl.DataFrame | None:
    names = [name for name in frame.columns if name.startswith(prefix)]
    return frame.select(pl.col(name).alias(name.removeprefix(prefix)) for name in names) if names else None


def _rows(frame: pl.DataFrame | None) -> Iterator[Values | None]:
    if frame is None:
        while True:
            yield None
    yield from frame.iter_rows(named=True)
