"""Which rows are in the recycle bin. Rows of objects that have none, such as big objects, never are."""

from __future__ import annotations

import polars as pl


def living(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows that are not deleted."""
    return rows.filter(pl.col("IsDeleted") == "false") if "IsDeleted" in rows.columns else rows


def deleted_ids(rows: pl.DataFrame) -> pl.Series:
    """The ids of the deleted ones among the rows."""
    return rows.filter(pl.col("IsDeleted") == "true")["Id"] if "IsDeleted" in rows.columns else rows["Id"].clear()
