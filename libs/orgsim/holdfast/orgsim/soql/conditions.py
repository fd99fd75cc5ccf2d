"""WHERE as a column expression. Every leaf is true or false, never null, so that NOT inverts it."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime

import polars as pl

from holdfast.orgsim import ids
from holdfast.orgsim.errors import ApiError
from holdfast.orgsim.schema.values import datetime_text
from holdfast.orgsim.soql import ast
from holdfast.orgsim.soql.columns import Column, Columns
from holdfast.orgsim.soql.dates import day_range

NUMBERS = frozenset({"double", "currency", "percent", "int", "long"})
EXACT = frozenset({"id", "reference", "date", "datetime", "time", "boolean"})
UNFILTERABLE = frozenset({"base64", "address", "location"})
Subquery = Callable[[ast.Query], pl.Series]


def expression(condition: ast.Condition, columns: Columns, subquery: Subquery) -> pl.Expr:
    """The condition over the working frame of `columns`.

    Raises:
        ApiError: 400 INVALID_FIELD, INVALID_QUERY_FILTER_OPERATOR or MALFORMED_QUERY.
    """
    if isinstance(condition, ast.Negation):
        return ~expression(condition.condition, columns, subquery)
    if isinstance(condition, ast.Junction):
        parts = [expression(part, columns, subquery) for part in condition.parts]
        return pl.all_horizontal(parts) if condition.operator == "and" else pl.any_horizontal(parts)
    column = _filterable(columns, condition.operand)
    if isinstance(condition, ast.Comparison):
        return _comparison(column, condition.operator, condition.literal, columns.org.clock.now())
    if condition.query is not None:
        found = pl.col(column.name).is_in(subquery(condition.query).implode()).fill_null(False)
        return ~found if condition.operator == "not in" else found
    return _membership(column, condition, columns.org.clock.now())


def comparable(column: Column) -> pl.Expr:
    """The column in the form in which values of its type compare and sort."""
    expr = pl.col(column.name)
    if column.kind in NUMBERS:
        return expr.cast(pl.Float64, strict=False)
    return expr if column.kind in EXACT else expr.str.to_lowercase()


def _filterable(columns: Columns, operand: ast.Operand) -> Column:
    if operand.function is not None:
        raise ApiError(400, "MALFORMED_QUERY", f"unexpected token: '{operand.function}'")
    column = columns.resolve(operand.path)
    if column.kind in UNFILTERABLE or not column.field["filterable"]:
        name = column.field["name"]
        raise ApiError(400, "INVALID_FIELD", f"field '{name}' can not be filtered in a query call")
    return column


def _comparison(column: Column, operator: str, literal: ast.Literal, now: datetime) -> pl.Expr:
    if literal.kind == "null" or (literal.kind == "string" and not literal.text and operator in ("=", "!=")):
        return _null_check(column, operator)  # empty text is null
    if operator == "like":
        return _like(column, literal)
    if literal.kind == "word":
        return _within_days(column, operator, literal, now)
    left, right = comparable(column), _value(column, literal)
    if operator == "=":
        return (left == right).fill_null(False)
    if operator == "!=":
        return (left != right).fill_null(True)
    if column.kind == "boolean":
        raise _bad_operator(column)
    table = {"<": left < right, "<=": left <= right, ">": left > right, ">=": left >= right}
    return table[operator].fill_null(False)


def _null_check(column: Column, operator: str) -> pl.Expr:
    if operator not in ("=", "!="):
        raise _bad_operator(column)
    empty = pl.col(column.name).is_null()
    return empty if operator == "=" else ~empty


def _like(column: Column, literal: ast.Literal) -> pl.Expr:
    if literal.kind != "string" or column.kind in EXACT | NUMBERS:
        raise _bad_operator(column)
    pieces = re.split(r"(\\[_%\\]|%|_)", literal.text)
    pattern = "".join({"%": ".*", "_": "."}.get(p) or re.escape(p[1:] if p[:1] == "\\" else p) for p in pieces)
    return pl.col(column.name).str.contains(f"(?is)^{pattern}$").fill_null(False)


def _within_days(column: Column, operator: str, literal: ast.Literal, now: datetime) -> pl.Expr:
    if column.kind not in ("date", "datetime"):
        raise _bad_value(column, literal)
    first, after = day_range(literal.text, now.date())
    low, high = _day_text(column, first), _day_text(column, after)
    value = pl.col(column.name)
    inside = (value >= low) & (value < high)
    table = {
        "=": inside,
        "!=": ~inside,
        "<": value < low,
        "<=": value < high,
        ">": value >= high,
        ">=": value >= low,
    }
    return table[operator].fill_null(operator == "!=")


def _day_text(column: Column, day: date) -> str:
    return day.isoformat() if column.kind == "date" else f"{day.isoformat()}T00:00:00.000Z"


def _membership(column: Column, condition: ast.Membership, now: datetime) -> pl.Expr:
    if condition.operator in ("includes", "excludes"):
        return _includes(column, condition)
    plain = [v for v in condition.values if v.kind not in ("null", "word")]
    values = [_value(column, v) for v in plain]
    dtype = pl.Float64 if column.kind in NUMBERS else pl.String
    found = comparable(column).is_in(pl.Series(values, dtype=dtype).implode()).fill_null(False)
    for special in (v for v in condition.values if v.kind in ("null", "word")):
        found = found | _comparison(column, "=", special, now)
    return ~found if condition.operator == "not in" else found


def _includes(column: Column, condition: ast.Membership) -> pl.Expr:
    if column.kind != "multipicklist":
        raise _bad_operator(column)
    chosen = pl.col(column.name).str.to_lowercase().str.split(";")
    wanted = [[part.lower() for part in v.text.split(";")] for v in condition.values]
    hit = pl.any_horizontal([pl.all_horizontal([chosen.list.contains(p) for p in parts]) for parts in wanted])
    hit = hit.fill_null(False)
    return hit if condition.operator == "includes" else ~hit


def _value(column: Column, literal: ast.Literal) -> str | float:
    """A literal in the form of `comparable`.

    Raises:
        ApiError: 400 INVALID_FIELD if it is no value of the column's type.
    """
    kind = column.kind
    family = "number" if kind in NUMBERS else kind if kind in EXACT else "text"
    read = _READERS.get((family, literal.kind))
    if read is None:
        raise _bad_value(column, literal)
    return read(literal.text)


def _id(text: str) -> str:
    return ids.normalise(text) or text


def _folded(text: str) -> str:
    return text.replace("\\_", "_").replace("\\%", "%").lower()


_READERS: dict[tuple[str, str], Callable[[str], str | float]] = {
    ("number", "number"): float,
    ("id", "string"): _id,
    ("reference", "string"): _id,
    ("boolean", "boolean"): str.lower,
    ("datetime", "datetime"): datetime_text,
    ("date", "date"): str,
    ("time", "string"): str,
    ("text", "string"): _folded,
}


def _bad_operator(column: Column) -> ApiError:
    name = column.field["name"]
    return ApiError(400, "INVALID_QUERY_FILTER_OPERATOR", f"invalid operator on {column.kind} field '{name}'")


def _bad_value(column: Column, literal: ast.Literal) -> ApiError:
    name, kind = column.field["name"], column.kind
    quotes = " and should not be enclosed in quotes" if literal.kind == "string" else ""
    message = f"value of filter criterion for field '{name}' must be of type {kind}{quotes}"
    return ApiError(400, "INVALID_FIELD", message)
