"""COUNT, MIN, MAX, SUM, AVG and GROUP BY."""

from __future__ import annotations

import polars as pl

from holdfast.orgsim.errors import ApiError
from holdfast.orgsim.schema.fields import make_field
from holdfast.orgsim.soql import ast
from holdfast.orgsim.soql.columns import Column, Columns
from holdfast.orgsim.soql.conditions import NUMBERS, comparable

_FUNCTIONS = frozenset({"count", "count_distinct", "min", "max", "sum", "avg"})


def is_aggregate(item: ast.CallItem) -> bool:
    """Whether the function makes the query an aggregate one."""
    return item.function in _FUNCTIONS


class Aggregation:
    """One aggregate query over filtered columns."""

    def __init__(self, columns: Columns, query: ast.Query) -> None:
        self._columns = columns
        self._query = query
        self._outputs: list[tuple[str, Column]] = []
        self._expressions: list[pl.Expr] = []

    def run(self) -> tuple[pl.DataFrame | None, list[tuple[str, Column]], int]:
        """The rows, the outputs by label, and the count; no rows for a bare `COUNT()`."""
        items = self._query.items
        if len(items) == 1 and isinstance(items[0], ast.CallItem) and items[0].path is None:
            height = self._columns.frame.height
            return None, [], height if self._query.limit is None else min(height, self._query.limit)
        keys = [self._columns.resolve(path) for path in self._query.group_by]
        if self._query.having is not None:
            raise ApiError(400, "MALFORMED_QUERY", "unexpected token: 'HAVING'")
        for item in items:
            self._add(item, keys)
        if not keys:
            return self._as_text(self._columns.frame.select(self._expressions)), self._outputs, 1
        names = list(dict.fromkeys(key.name for key in keys))
        grouped = self._columns.frame.group_by(names, maintain_order=True).agg(self._expressions).sort(names)
        return self._as_text(self._sorted(grouped)), self._outputs, grouped.height

    def _sorted(self, grouped: pl.DataFrame) -> pl.DataFrame:
        """ORDER BY over grouped fields, aliases, or functions that were selected. Numbers are not yet text here."""
        if not self._query.order_by:
            return grouped
        orders = self._query.order_by
        return grouped.sort(
            [self._order_key(order.operand) for order in orders],
            descending=[o.descending for o in orders],
            nulls_last=[o.nulls_last for o in orders],
            maintain_order=True,
        )

    def _order_key(self, operand: ast.Operand) -> pl.Expr:
        for item, (label, column) in zip(self._query.items, self._outputs, strict=True):
            same = isinstance(item, ast.CallItem) and (item.function, tuple(item.path or ())) == (
                operand.function,
                operand.path,
            )
            if same or (operand.function is None and operand.path == (label,)):
                return pl.col(column.name)
        if operand.function is not None:
            raise ApiError(400, "MALFORMED_QUERY", f"ORDER BY {operand.function} must also be selected")
        column = self._columns.resolve(operand.path)
        if column.name not in {self._columns.resolve(path).name for path in self._query.group_by}:
            raise ApiError(400, "MALFORMED_QUERY", f"Ordered field must be grouped or aggregated: {column.name}")
        return comparable(column)

    def _add(self, item: ast.Item, keys: list[Column]) -> None:
        if isinstance(item, ast.FieldItem):
            column = self._columns.resolve(item.path)
            if column.name not in {key.name for key in keys}:
                message = f"Field must be grouped or aggregated: {'.'.join(item.path)}"
                raise ApiError(400, "MALFORMED_QUERY", message)
            self._outputs.append((item.alias or item.path[-1], column))
        elif isinstance(item, ast.CallItem) and is_aggregate(item):
            self._add_call(item)
        else:
            raise ApiError(400, "MALFORMED_QUERY", "Grouped query cannot select this expression")

    def _add_call(self, item: ast.CallItem) -> None:
        label = item.alias or f"expr{len(self._expressions)}"
        name = f"__{label}"
        if item.path is None:
            self._expressions.append(pl.len().alias(name))
            self._outputs.append((label, Column(name, make_field(name, "int"))))
            return
        column = self._columns.resolve(item.path)
        value = pl.col(column.name)
        if item.function in ("count", "count_distinct"):
            expr = value.count() if item.function == "count" else value.drop_nulls().n_unique()
            field = make_field(name, "int")
        elif column.kind in NUMBERS:
            expr, field = getattr(value.cast(pl.Decimal(38, 6)), _POLARS[item.function])(), column.field
        elif item.function in ("min", "max"):
            expr, field = getattr(value, item.function)(), column.field
        else:
            raise ApiError(
                400,
                "INVALID_FIELD",
                f"field {column.name} does not support aggregate operator {item.function}",
            )
        self._expressions.append(expr.alias(name))
        self._outputs.append((label, Column(name, field)))

    def _as_text(self, frame: pl.DataFrame) -> pl.DataFrame:
        casts = []
        for name, dtype in frame.schema.items():
            text = pl.col(name).cast(pl.String)
            if isinstance(dtype, pl.Decimal):
                text = text.str.strip_chars_end("0").str.replace(r"\.$", ".0")
            casts.append(text)
        return frame.with_columns(casts)


_POLARS = {"min": "min", "max": "max", "sum": "sum", "avg": "mean"}
