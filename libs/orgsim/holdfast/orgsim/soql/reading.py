"""Rows for a query: which part of a table is read, parents joined to it, values worked out from it.

A `Snapshot` keeps what the tables held when the query ran, so that pages can be read later, and from another thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from holdfast.orgsim.auth.access import User
from holdfast.orgsim.auth.sharing import SeenTable, seen
from holdfast.orgsim.org import Org
from holdfast.orgsim.schema.objects import SObject
from holdfast.orgsim.soql import ast
from holdfast.orgsim.soql.columns import Column, Columns, Join
from holdfast.orgsim.store.table import Table

STREAM_FROM_ROWS = 200_000
FETCH_BELOW = 20  # a parent table is fetched from by id when fewer than one in this many of its rows are wanted


@dataclass(frozen=True)
class Snapshot:
    """The tables that a query touches, as they were when it ran."""

    base: Table | SeenTable
    parents: Mapping[str, Sequence[pl.LazyFrame]]
    joins: Sequence[Join]
    computed: Mapping[str, pl.Expr]

    def complete(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The frame with every join and computed column that it lacks."""
        for join in self.joins:
            wanted = [n for n in join.wanted if f"{join.prefix}.{n}" not in frame.columns]
            if wanted:
                frame = _joined(frame, join, wanted, self._parents_of(frame, join, wanted))
        return with_computed(frame, self.computed)

    def _parents_of(self, frame: pl.DataFrame, join: Join, wanted: list[str]) -> list[pl.DataFrame]:
        keys = frame[join.key].drop_nulls().unique()
        low, high = keys.min(), keys.max()
        if not keys.len():
            return []
        chosen = pl.col("Id").is_between(pl.lit(low), pl.lit(high)) & pl.col("Id").is_in(keys.implode())
        scans = self.parents[join.prefix]
        return [_collected(s.filter(chosen), s.collect_schema().names(), wanted) for s in scans]


def snapshot(columns: Columns) -> Snapshot:
    """What `columns` needs, as it is now."""
    org = columns.org
    joins = sorted(columns.joins.values(), key=lambda j: j.depth)
    parents = {j.prefix: [seen(org, o, columns.user).scan() for o in j.objects if o.name in org.tables] for j in joins}
    return Snapshot(seen(org, columns.obj, columns.user).frozen(), parents, joins, dict(columns.computed))


def joined_now(org: Org, user: User, frame: pl.DataFrame, joins: Iterable[Join]) -> pl.DataFrame:
    """The frame with the parents' fields, fetched by id where few are wanted and read in one pass otherwise."""
    for join in sorted(joins, key=lambda j: j.depth):
        wanted = [n for n in join.wanted if f"{join.prefix}.{n}" not in frame.columns]
        if wanted:
            frame = _joined(frame, join, wanted, _parents_now(org, user, frame, join, wanted))
    return frame


def with_computed(frame: pl.DataFrame, computed: Mapping[str, pl.Expr]) -> pl.DataFrame:
    """The frame with the worked-out columns whose inputs it holds."""
    have = set(frame.columns)
    ready = [e.alias(n) for n, e in computed.items() if n not in have and have.issuperset(e.meta.root_names())]
    return frame.with_columns(ready) if ready else frame


def collect(rows: pl.LazyFrame, table_rows: int) -> pl.DataFrame:
    """Run a scan; a large table is streamed, so that only its answer is in memory."""
    return rows.collect(engine="streaming") if table_rows >= STREAM_FROM_ROWS else rows.collect()


def ids_named(where: ast.Condition | None, columns: Columns) -> list[ast.Literal] | None:
    """The ids of `Id = …` or `Id IN (…)` among the parts of a condition that must all hold."""
    for part in ast.conjuncts(where):
        if isinstance(part, ast.Comparison | ast.Membership) and _is_own_id(part.operand, columns):
            if isinstance(part, ast.Comparison) and part.operator == "=":
                return [part.literal]
            if isinstance(part, ast.Membership) and part.operator == "in" and part.query is None:
                return list(part.values)
    return None


def _is_own_id(operand: ast.Operand, columns: Columns) -> bool:
    if not isinstance(operand, ast.Path) or operand[-1].lower() != "id" or len(operand) > 2:
        return False
    column: Column = columns.resolve(operand)
    return column.name == "Id"


def _parents_now(org: Org, user: User, frame: pl.DataFrame, join: Join, wanted: list[str]) -> list[pl.DataFrame]:
    keys = frame[join.key].drop_nulls().unique()
    found = []
    for obj in join.objects:
        if obj.name in org.tables and keys.len():
            found.append(_rows_of(org, user, obj, keys, wanted))
    return found


def _rows_of(org: Org, user: User, obj: SObject, keys: pl.Series, wanted: list[str]) -> pl.DataFrame:
    table = seen(org, obj, user)
    if keys.len() * FETCH_BELOW < len(table):
        return _collected(table.fetch(keys).lazy(), table.columns, wanted)
    return _collected(table.scan(), table.columns, wanted)


def _collected(rows: pl.LazyFrame, names: Sequence[str], wanted: list[str]) -> pl.DataFrame:
    empty = pl.lit(None, dtype=pl.String)
    return rows.select("Id", *[pl.col(n) if n in names else empty.alias(n) for n in wanted if n != "Id"]).collect()


def _joined(frame: pl.DataFrame, join: Join, wanted: list[str], found: list[pl.DataFrame]) -> pl.DataFrame:
    names = {n: f"{join.prefix}.{n}" for n in wanted}
    if "Id" in names:
        frame = frame.with_columns(pl.col(join.key).alias(names.pop("Id")))
    if not names:
        return frame
    if not found:
        return frame.with_columns([pl.lit(None, dtype=pl.String).alias(n) for n in names.values()])
    parents = pl.concat(found).rename({**names, "Id": "__parent"})
    return frame.join(parents, left_on=join.key, right_on="__parent", how="left", maintain_order="left")
