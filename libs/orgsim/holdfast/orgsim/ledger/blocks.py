"""Changes of many records at once: what a transaction hands to the ledger."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl


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

    def note(self, row: int) -> str | None:
        """Why a row changed."""
        return self.notes if self.notes is None or isinstance(self.notes, str) else self.notes[row]
