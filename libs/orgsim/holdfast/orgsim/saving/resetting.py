"""Back to the data that was loaded: changes since are undone by changes in the ledger, which forgets nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import polars as pl

from holdfast.orgsim.org import Org
from holdfast.orgsim.saving.recyclebin import BinEntry
from holdfast.orgsim.schema.objects import SObject
from holdfast.orgsim.setup.views import SHOWN
from holdfast.orgsim.store.table import Table

NOTE = "reset to the loaded data"
KEPT = frozenset({"LoginHistory"})  # who signed in stays true


@dataclass(frozen=True)
class Baseline:
    """The rows of one moment. Taking it costs nothing but references."""

    tables: dict[str, Table]
    recycle_bin: dict[str, BinEntry]
    purged: dict[str, int]

    @classmethod
    def of(cls, org: Org) -> Baseline:
        """The present rows."""
        tables = {name: table.frozen() for name, table in org.tables.items()}
        return cls(tables, dict(org.recycle_bin), {name: len(rows) for name, rows in org.purged.items()})

    @contextmanager
    def following(self, org: Org) -> Iterator[None]:
        """Count the tables that change inside, by a load, as loaded."""
        versions = {name: table.version for name, table in org.tables.items()}
        yield
        for name, table in org.tables.items():
            if versions.get(name) != table.version:
                self.tables[name] = table.frozen()

    def restore(self, org: Org) -> dict[str, int]:
        """Bring every object but setup objects back: how many rows of each had to change. Open results stay.

        What was saved and is not committed yet never comes.
        """
        changes: dict[str, int] = {}
        org.transactions.forget_late()
        with org.transactions.together():
            for name in list(org.tables):
                if name in org.born_with or name in SHOWN or name in KEPT:
                    continue
                then = self.tables.get(name)
                if then is None or then.version != org.tables[name].version:
                    changes[name] = _restore(org, org.schema.objects[name], then)
        org.recycle_bin.clear()
        org.recycle_bin.update(self.recycle_bin)
        for name, rows in org.purged.items():
            del rows[self.purged.get(name, 0) :]
        return {name: count for name, count in changes.items() if count}


def _restore(org: Org, obj: SObject, then: Table | None) -> int:
    table = org.table(obj)
    now = table.frame()
    past = now.clear() if then is None else _widened(then.frame(), table.columns)
    gone, back = now.join(past, on="Id", how="anti"), past.join(now, on="Id", how="anti")
    was = past.join(now, on="Id", how="semi").sort("Id")
    current = now.join(past, on="Id", how="semi").sort("Id")
    differ = pl.Series([False]).new_from_index(0, was.height)
    for name in table.columns:
        differ |= was[name].ne_missing(current[name])
    _save(org, obj, "harddelete", gone, None)
    _save(org, obj, "insert", None, back)
    _save(org, obj, "update", current.filter(differ), was.filter(differ))
    return gone.height + back.height + int(differ.sum())


def _widened(rows: pl.DataFrame, columns: list[str]) -> pl.DataFrame:
    known = set(rows.columns)
    return rows.select(pl.col(n) if n in known else pl.lit(None, dtype=pl.String).alias(n) for n in columns)


def _save(org: Org, obj: SObject, operation: str, before: pl.DataFrame | None, after: pl.DataFrame | None) -> None:
    org.transactions.save(obj, operation, before, after, who=org.admin.id, api="reset", notes=NOTE)
