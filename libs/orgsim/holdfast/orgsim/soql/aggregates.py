"""COUNT, MIN, MAX, SUM, AVG, with GROUP BY, ROLLUP, CUBE, GROUPING and HAVING."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations

import polars as pl

from holdfast.orgsim.errors import ApiError
from holdfast.orgsim.schema.fields import make_field
from holdfast.orgsim.soql import ast
from holdfast.orgsim.soql.columns import Column, Columns
from holdfast.orgsim.soql.conditions import DECIMAL, NUMBERS, Terms, comparable, expression
from holdfast.orgsim.soql.functions import SHOWN_AS_IS, is_aggregate, is_date_function
from holdfast.orgsim.soql.messages import located, malformed
from holdfast.orgsim.soql.result import Output, Result


def is_aggregated(query: ast.Query) -> bool:
    """Whether the query answers groups instead of records."""
    return bool(query.group_by) or any(isinstance(i, ast.CallItem) and is_aggregate(i.call) for i in query.items)


class Aggregation:
    """One aggregate query; columns that it needs are noted in `columns` when it is made."""

    def __init__(self, columns: Columns, query: ast.Query, terms: Terms) -> None:
        self._columns, self._query = columns, query
        self._values: dict[str, tuple[Column, pl.Expr]] = {}
        self._outputs: list[Output] = []
        self.counts_rows = _counts_rows(query)
        if self.counts_rows:
            return
        self._keys = [self._key(operand) for operand in query.group_by]
        for item in query.items:
            self._outputs.append(self._output(item))
        self._refuse_duplicates()
        having = replace(terms, column=self._grouped)
        self._having = None if query.having is None else expression(query.having, having)
        self._order = [self._grouped(order.operand) for order in query.order_by]

    def counted(self, total: int) -> Result:
        """The answer of a bare `COUNT()` over `total` rows."""
        limit = self._query.limit
        total = total if limit is None else min(total, limit)
        return Result(self._columns.obj.name, pl.DataFrame(), [], total, counted=True)

    def result(self, rows: pl.DataFrame) -> Result:
        """The groups of `rows`."""
        if self.counts_rows:
            return self.counted(rows.height)
        frames = [self._grouped_by(rows, keys) for keys in self._grouping_sets()]
        frame = pl.concat(frames, how="diagonal_relaxed") if len(frames) > 1 else frames[0]
        if self._having is not None:
            frame = frame.filter(self._having)
        frame = self._sorted(frame)
        offset, limit = self._query.offset, self._query.limit
        frame = frame.slice(offset, limit) if offset or limit is not None else frame
        return Result(self._columns.obj.name, _as_text(frame), list(self._outputs), frame.height, aggregate=True)

    def _key(self, operand: ast.Operand) -> Column:
        column = self._columns.value(operand)
        if isinstance(operand, ast.Path) and not column.field["groupable"]:
            message = f"field '{column.field['name']}' can not be grouped in a query call"
            raise located(malformed(message), self._query.text, operand.at)
        return column

    def _grouping_sets(self) -> Iterator[Sequence[Column]]:
        keys = self._keys
        if self._query.grouping == "rollup":
            yield from (keys[:length] for length in range(len(keys), -1, -1))
        elif self._query.grouping == "cube":
            yield from (some for length in range(len(keys), -1, -1) for some in combinations(keys, length))
        else:
            yield keys

    def _grouped_by(self, rows: pl.DataFrame, keys: Sequence[Column]) -> pl.DataFrame:
        values = [expr.alias(name) for name, (_, expr) in self._values.items()]
        names = list(dict.fromkeys(key.name for key in keys))
        if names:
            grouped = rows.group_by(names, maintain_order=True).agg(values).sort(names)
        else:
            grouped = rows.select([pl.len().alias("__rows"), *values])
        missing = [k.name for k in self._keys if k.name not in names]
        flags = [pl.lit(int(k.name not in names)).cast(pl.Int64).alias(f"__grouping {k.name}") for k in self._keys]
        return grouped.with_columns([pl.lit(None, dtype=pl.String).alias(n) for n in dict.fromkeys(missing)] + flags)

    def _sorted(self, frame: pl.DataFrame) -> pl.DataFrame:
        if not self._order:
            return frame
        orders = self._query.order_by
        return frame.sort(
            [comparable(c) if frame.schema[c.name] == pl.String else pl.col(c.name) for c in self._order],
            descending=[o.descending for o in orders],
            nulls_last=[o.nulls_last for o in orders],
            maintain_order=True,
        )

    def _output(self, item: ast.Item) -> Output:
        if isinstance(item, ast.FieldItem):
            column = self._grouped(item.path)
            return Output(str(item.path), (item.alias or item.path[-1],), column)
        if not isinstance(item, ast.CallItem):
            raise malformed("Grouped query cannot select this expression")
        call, numbered = item.call, f"expr{self._unnamed()}"
        if is_aggregate(call) and call.path is None:
            raise located(malformed("unexpected token: ')'"), self._query.text, call.at)
        label = item.alias or (call.path[-1] if call.function in SHOWN_AS_IS and call.path else numbered)
        return Output(str(call), (label,), self._grouped(call))

    def _unnamed(self) -> int:
        """How many values without a name of their own come before."""
        calls = [i for i in self._query.items[: len(self._outputs)] if isinstance(i, ast.CallItem)]
        return sum(item.alias is None and item.call.function not in SHOWN_AS_IS for item in calls)

    def _refuse_duplicates(self) -> None:
        seen: set[str] = set()
        for output in self._outputs:
            if output.path[0].lower() in seen:
                raise malformed(f"duplicate alias: {output.path[0]}")
            seen.add(output.path[0].lower())

    def _grouped(self, operand: ast.Operand) -> Column:
        """The column of a grouped field, an alias or a function, in the grouped frame."""
        if isinstance(operand, ast.Path):
            alias = next((o for o in self._outputs if o.path == (operand[0],) and len(operand) == 1), None)
            if alias is not None:
                return alias.column
            return self._key_column(operand)
        if operand.function == "grouping" and operand.path is not None:
            name = f"__grouping {self._key_column(operand.path).name}"
            return Column(name, make_field(name, "int"))
        return self._aggregate(operand) if is_aggregate(operand) else self._key_column(operand)

    def _key_column(self, operand: ast.Operand) -> Column:
        column = self._columns.value(operand)
        if column.name not in {key.name for key in self._keys}:
            name = operand if isinstance(operand, ast.Path) or is_date_function(operand) else operand.path
            raise malformed(f"Field must be grouped or aggregated: {name}")
        return column

    def _aggregate(self, call: ast.Call) -> Column:
        name = str(call).lower()
        if name in self._values:
            return self._values[name][0]
        if call.path is None:
            column, expr = Column(name, make_field(name, "int")), pl.len()
        else:
            column, expr = self._aggregated(name, call)
        self._values[name] = (column, expr)
        return column

    def _aggregated(self, name: str, call: ast.Call) -> tuple[Column, pl.Expr]:
        column = self._columns.value(call.args[0]) if not isinstance(call.args[0], ast.Literal) else None
        if column is None or not self._supported(call.function, column):
            field_name = column.field["name"] if column is not None else name
            message = f"field {field_name} does not support aggregate operator {call.function.upper()}"
            raise located(malformed(message), self._query.text, call.at)
        value = pl.col(column.name)
        if call.function == "count":
            return Column(name, make_field(name, "int")), value.count()
        if call.function == "count_distinct":
            return Column(name, make_field(name, "int")), comparable(column).drop_nulls().n_unique()
        if column.kind not in NUMBERS:
            return Column(name, column.field), getattr(value, call.function)()
        number = value.cast(DECIMAL, strict=False)
        if call.function == "avg":
            return Column(name, make_field(name, "double")), number.cast(pl.Float64).mean()
        found = getattr(number, call.function)()
        if call.function == "sum":
            found = pl.when(number.count() > 0).then(found)
        return Column(name, column.field), found.cast(pl.Int64) if column.kind in ("int", "long") else found

    def _supported(self, function: str, column: Column) -> bool:
        if function in ("sum", "avg"):
            return column.kind in NUMBERS
        if function == "count_distinct":
            return bool(column.field["aggregatable"]) and column.kind not in ("boolean", "textarea")
        return bool(column.field["aggregatable"]) and column.kind not in ("boolean", "multipicklist", "textarea")


def _counts_rows(query: ast.Query) -> bool:
    item = query.items[0]
    bare = isinstance(item, ast.CallItem) and item.call == ast.Call("count")
    if not bare:
        return False
    if len(query.items) > 1 or query.group_by:
        raise malformed("unexpected token: 'COUNT'")
    if query.order_by:
        raise ApiError(400, "MALFORMED_QUERY", "COUNT() cannot be used with ORDER BY")
    return True


def _as_text(frame: pl.DataFrame) -> pl.DataFrame:
    casts = []
    for name, dtype in frame.schema.items():
        text = pl.col(name).cast(pl.String)
        if isinstance(dtype, pl.Decimal):
            text = text.str.strip_chars_end("0").str.replace(r"\.$", ".0")
        casts.append(text)
    return frame.with_columns(casts)
