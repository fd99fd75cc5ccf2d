"""Which rows of a table were deleted or changed in a span of time, by their stamps."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl


def deleted_between(
    table: pl.LazyFrame, purged: Iterable[tuple[str, str]], start: str, end: str
) -> list[tuple[str, str]]:
    """(id, stamp) of rows deleted from `start` until before `end`, in the order of their stamps.

    `purged` are deleted rows that the table has forgotten, or that carry no stamp of their own.
    """
    rows = []
    if "SystemModstamp" in table.collect_schema():
        rows = _within(table, deleted=True, start=start, end=end).select("Id", "SystemModstamp").collect().rows()
    rows += [(i, at) for i, at in purged if start <= at < end]
    return sorted(rows, key=lambda row: (row[1], row[0]))


def updated_between(table: pl.LazyFrame, start: str, end: str) -> list[str]:
    """Ids of living rows with a stamp from `start` until before `end`."""
    return _within(table, deleted=False, start=start, end=end).select("Id").collect()["Id"].to_list()


def _within(table: pl.LazyFrame, *, deleted: bool, start: str, end: str) -> pl.LazyFrame:
    stamps = pl.col("SystemModstamp" if "SystemModstamp" in table.collect_schema() else "CreatedDate")
    state = pl.col("IsDeleted") == ("true" if deleted else "false")
    return table.filter(state & (stamps >= start) & (stamps < end))
