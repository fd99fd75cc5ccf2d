"""Runs a parsed query over the org's tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import polars as pl

from holdfast.orgsim import ids
from holdfast.orgsim.auth.access import User
from holdfast.orgsim.auth.sharing import seen
from holdfast.orgsim.errors import ApiError
from holdfast.orgsim.org import Org
from holdfast.orgsim.schema.objects import SObject
from holdfast.orgsim.soql import ast, bigobjects, limits, restrictions
from holdfast.orgsim.soql.aggregates import Aggregation, is_aggregated
from holdfast.orgsim.soql.columns import Column, Columns
from holdfast.orgsim.soql.conditions import Terms, comparable, expression
from holdfast.orgsim.soql.messages import invalid_field, located
from holdfast.orgsim.soql.reading import collect, ids_named, joined_now, snapshot, with_computed
from holdfast.orgsim.soql.result import Result, StoredRows
from holdfast.orgsim.soql.selection import HELD_CELLS, ChildrenOf, Selection

NEWEST = "68.0"


@dataclass(frozen=True)
class Asker:
    """Who asks, in which version, and whether deleted rows count."""

    org: Org
    user: User
    include_deleted: bool = False
    version: str = NEWEST


def run(org: Org, query: ast.Query, user: User, *, include_deleted: bool = False, version: str = NEWEST) -> Result:
    """Evaluate a query as `user`. Without ORDER BY rows come in id order.

    Raises:
        ApiError: 400 with the platform's code and text.
    """
    limits.check(query, version)
    asker = Asker(org, user, include_deleted or query.all_rows, version)
    obj = restrictions.queried(org, user, query)
    return evaluate(asker, obj, query)


def evaluate(asker: Asker, obj: SObject, query: ast.Query, of: ChildrenOf | None = None) -> Result:
    """Evaluate a query over `obj`, also a query for child rows.

    Raises:
        ApiError: 400.
    """
    return _Evaluation(asker, obj, query, of).run()


class _Evaluation:
    """One query on its way: what must hold, in which order, and the columns that this needs."""

    def __init__(self, asker: Asker, obj: SObject, query: ast.Query, of: ChildrenOf | None) -> None:
        query = bigobjects.as_answered(query, obj)
        self.asker, self.query, self.of = asker, query, of
        self.table = seen(asker.org, obj, asker.user)
        self.columns = Columns(asker.org, obj, asker.user, query)
        restrictions.check(query, self.columns, asker.version)
        self.conditions = self._conditions()
        self.aggregation = Aggregation(self.columns, query, self._terms()) if is_aggregated(query) else None
        self.order = [] if self.aggregation else [self._sortable(o.operand) for o in query.order_by]
        if of is not None:
            self.columns.base[of.lookup] = None
        self.first_joins = [replace(j, wanted=dict(j.wanted)) for j in self.columns.joins.values()]
        self.first_base = list(self.columns.base)

    def run(self) -> Result:
        """The rows."""
        if self.aggregation is not None:
            return self._aggregate(self.aggregation)
        selection = Selection(self.asker, self.columns, self.query, evaluate)
        base = list(self.columns.base)
        source = self._source()
        if self.of is None and source is None and len(self.table) * len(base) > HELD_CELLS:
            return selection.result(self._stored_rows(base))
        frame = self._found(source, base)
        frame = self._window(self._sorted(frame))
        frame = joined_now(self.asker.org, self.asker.user, frame, self.columns.joins.values())
        if self.columns.obj.name.endswith(bigobjects.SUFFIX) and "Id" in frame.columns:
            frame = frame.with_columns(pl.lit(bigobjects.NO_ID).alias("Id"))
        return selection.result(with_computed(frame, self.columns.computed))

    def _stored_rows(self, base: Sequence[str]) -> StoredRows:
        """Only ids and what filters and sorts are read now; the rest of each row when its page is asked for."""
        tables = snapshot(self.columns)
        found = self._window(self._sorted(self._found(None, self.first_base)))["Id"]
        own, others = self._split()
        return StoredRows(tables, base, found, _all(own), scattered=bool(self.order or others))

    def _conditions(self) -> list[pl.Expr]:
        obj, query = self.columns.obj, self.query
        found = []
        if not self.asker.include_deleted and "IsDeleted" in obj.fields:
            found.append(pl.col("IsDeleted").ne_missing("true"))
        if (
            query.scope is not None
            and query.scope.lower() in ("mine", "mine_and_my_groups")
            and "OwnerId" in obj.fields
        ):
            found.append(pl.col("OwnerId") == self.asker.user.id)
        found += [expression(part, self._terms()) for part in ast.conjuncts(query.where)]
        return found

    def _terms(self) -> Terms:
        return Terms(self._filterable, self._inner, self.asker.org.clock.now(), self.query.text)

    def _filterable(self, operand: ast.Operand) -> Column:
        column = self.columns.value(operand)
        if column.kind in limits.UNFILTERABLE or not column.field["filterable"]:
            message = f"field '{column.field['name']}' can not be filtered in a query call"
            raise located(invalid_field(message), self.query.text, operand.at)
        return column

    def _sortable(self, operand: ast.Operand) -> Column:
        column = self.columns.value(operand)
        if not column.field["sortable"]:
            message = f"field '{column.field['name']}' can not be sorted in a query call"
            raise located(ApiError(400, "MALFORMED_QUERY", message), self.query.text, operand.at)
        return column

    def _inner(self, condition: ast.Membership, column: Column) -> pl.Series:
        """The ids that a semi-join's query finds."""
        inner = condition.query
        assert inner is not None
        obj = restrictions.queried(self.asker.org, self.asker.user, inner)
        evaluation = _Evaluation(self.asker, obj, inner, None)
        chosen = limits.semi_join_column(inner, evaluation.columns, column, condition)
        frame = evaluation.run().frame
        return frame[chosen.name].drop_nulls().unique()

    def _source(self) -> pl.LazyFrame | None:
        """The few rows that the query names by id or by parent; None if the whole table has to be looked at."""
        if self.of is not None and self.of.parents is not None:
            return self.table.where_in(self.of.lookup, self.of.parents).lazy()
        named = ids_named(self.query.where, self.columns)
        if named is None:
            return None
        known = sorted({i for i in (ids.normalise(v.text) for v in named) if i is not None})
        return self.table.fetch(pl.Series("Id", known, dtype=pl.String)).lazy()

    def _split(self) -> tuple[list[pl.Expr], list[pl.Expr]]:
        """Conditions over the object's own columns, and those that need parents or functions."""
        stored = set(self.table.columns)
        own = [c for c in self.conditions if stored.issuperset(c.meta.root_names())]
        return own, [c for c in self.conditions if not stored.issuperset(c.meta.root_names())]

    def _found(self, source: pl.LazyFrame | None, base: Sequence[str]) -> pl.DataFrame:
        own, others = self._split()
        rows = self.table.scan() if source is None else source
        where = _all(own)
        rows = (rows if where is None else rows.filter(where)).select(base)
        if not others and not self.query.order_by and self.of is None and self.query.limit is not None:
            rows = rows.head(self.query.offset + self.query.limit)
        frame = collect(rows, 0 if source is not None else len(self.table))
        if not others and not self.order:
            return frame
        frame = joined_now(self.asker.org, self.asker.user, frame, self.first_joins)
        frame = with_computed(frame, self.columns.computed)
        rest = _all(others)
        return frame if rest is None else frame.filter(rest)

    def _sorted(self, frame: pl.DataFrame) -> pl.DataFrame:
        if not self.order:
            return frame
        keys, orders = self.order, list(self.query.order_by)
        if keys[-1].name == "Id" and not orders[-1].descending:
            keys, orders = keys[:-1], orders[:-1]  # rows are in id order and the sort is stable
        if not keys or (len(keys) == 1 and not orders[0].descending and _is_ascending(frame[keys[0].name])):
            return frame
        return frame.sort(
            [comparable(c) for c in keys],
            descending=[o.descending for o in orders],
            nulls_last=[o.nulls_last for o in orders],
            maintain_order=True,
        )

    def _window(self, frame: pl.DataFrame) -> pl.DataFrame:
        offset, limit = self.query.offset, self.query.limit
        if not offset and limit is None:
            return frame
        if self.of is None:
            return frame.slice(offset, limit)
        place = pl.int_range(pl.len()).over(self.of.lookup)
        return frame.filter(place.is_between(offset, offset + (2**31 if limit is None else limit) - 1))

    def _aggregate(self, aggregation: Aggregation) -> Result:
        own, others = self._split()
        source = self._source()
        if aggregation.counts_rows and not others:
            rows = self.table.scan() if source is None else source
            where = _all(own)
            rows = rows if where is None else rows.filter(where)
            total = int(collect(rows.select(pl.len()), len(self.table)).item())
            return aggregation.counted(total)
        frame = self._found(source, list(self.columns.base))
        frame = joined_now(self.asker.org, self.asker.user, frame, self.columns.joins.values())
        return aggregation.result(with_computed(frame, self.columns.computed))


def _all(conditions: Sequence[pl.Expr]) -> pl.Expr | None:
    return pl.all_horizontal(conditions) if conditions else None


def _is_ascending(values: pl.Series) -> bool:
    return values.null_count() == 0 and values.dtype == pl.String and values.is_sorted()
