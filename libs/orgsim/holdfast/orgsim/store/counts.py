"""How much of a table is not deleted; counted once per state of the table."""

from __future__ import annotations

from weakref import WeakKeyDictionary

import polars as pl

from holdfast.orgsim.store.table import Table

_known: WeakKeyDictionary[Table, tuple[int, dict[str, int]]] = WeakKeyDictionary()


def living_rows(table: Table) -> int:
    """Rows that are not in the recycle bin."""
    return _measured(table, "", pl.len())


def living_total(table: Table, column: str) -> int:
    """The sum of a column of whole numbers over the rows that are not in the recycle bin."""
    return _measured(table, column, pl.col(column).cast(pl.Int64).sum())


def _measured(table: Table, name: str, measure: pl.Expr) -> int:
    version, values = _known.get(table, (-1, {}))
    if version != table.version:
        version, values = table.version, {}
        _known[table] = (version, values)
    if name not in values:
        rows = table.scan()
        if "IsDeleted" in table.columns:  # big objects and views of the schema have no bin
            rows = rows.filter(pl.col("IsDeleted") == "false")
        values[name] = int(rows.select(measure).collect().item())
    return values[name]
