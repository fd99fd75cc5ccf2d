"""Pages of deletions: which of their rows end the life that the state knows. `docs/formats/vault.md` §5. No I/O."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from holdfast.vault.index import NO_STAMP

# Salesforce tells the time of a deletion in whole seconds.
_ROUNDED_MS = 1000


@dataclass(frozen=True)
class Ended:
    """The rows that end a life, each with its state; `left_out` counts the others.

    Attributes:
        rows: As given, `stamp` being not older than that of the state.
    """

    rows: pl.DataFrame
    state: pl.DataFrame
    left_out: int


def ended_lives(rows: pl.DataFrame, state: pl.DataFrame) -> Ended:
    """Leave out rows of records that are not in the state, deleted in it, or changed after the deletion.

    A record that was changed later came back from the recycle bin, and the org's list is older than what was read.

    Args:
        rows: As `one_per_record` gives them; a row without a stamp ends whatever life the state knows.
        state: The index's entries of the same keys.
    """
    known = state["stamp"].is_not_null() & ~state["deleted"].fill_null(True)
    whenever = rows["stamp"] == NO_STAMP
    ends = known & (
        whenever | (rows["stamp"] >= state["stamp"].fill_null(NO_STAMP).clip(NO_STAMP + _ROUNDED_MS) - _ROUNDED_MS)
    )
    kept, entries = rows.filter(ends), state.filter(ends)
    latest = pl.max_horizontal(pl.col("stamp"), pl.lit(entries["stamp"]))
    return Ended(kept.with_columns(latest.alias("stamp")), entries, len(rows) - len(kept))
