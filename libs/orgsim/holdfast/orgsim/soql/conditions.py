"""WHERE and HAVING as column expressions. Every leaf is true or false, never null, so that NOT inverts it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

import polars as pl

from holdfast.orgsim import ids
from holdfast.orgsim.errors import ApiError
from holdfast.orgsim.schema.values import datetime_text, time_text
from holdfast.orgsim.soql import ast
from holdfast.orgsim.soql.columns import Column
from holdfast.orgsim.soql.dates import day_range
from holdfast.orgsim.soql.messages import invalid_field, located, malformed

NUMBERS = frozenset({"double", "currency", "percent", "int", "long"})
EXACT = frozenset({"id", "reference", "date", "datetime", "time", "boolean"})
DECIMAL = pl.Decimal(38, 18)  # 20 digits before the point: every number a field can hold
_OUT_OF_RANGE = Decimal(10) ** 20
_TYPE_NAMES = {"datetime": "dateTime", "reference": "reference", "id": "ID"}
_UNTIL_NOW = ("LAST_N_DAYS:", "LAST_90_DAYS")  # nothing is later than their end: `>` is read as later than their start
Subquery = Callable[[ast.Membership, Column], pl.Series]


@dataclass(frozen=True)
class Terms:
    """What a condition is read against: how values become columns, how inner queries run, what day it is."""

    column: Callable[[ast.Operand], Column]
    subquery: Subquery
    now: datetime
    text: str


def expression(condition: ast.Condition, terms: Terms) -> pl.Expr:
    """The condition over a frame that holds the columns which `terms.column` names.

    Raises:
        ApiError: 400 INVALID_FIELD, INVALID_QUERY_FILTER_OPERATOR or MALFORMED_QUERY.
    """
    if isinstance(condition, ast.Negation):
        return ~expression(condition.condition, terms)
    if isinstance(condition, ast.Junction):
        parts = [expression(part, terms) for part in condition.parts]
        return pl.all_horizontal(parts) if condition.operator == "and" else pl.any_horizontal(parts)
    column = terms.column(condition.operand)
    try:
        if isinstance(condition, ast.Comparison):
            return _comparison(column, condition.operator, condition.literal, terms.now)
        if condition.query is not None:
            if column.kind not in ("id", "reference"):
                raise malformed(f"Semi join operands must be id fields, cannot use: '{condition.operand}'")
            found = pl.col(column.name).is_in(terms.subquery(condition, column).implode()).fill_null(False)
            return ~found if condition.operator == "not in" else found
        return _membership(column, condition, terms.now)
    except ApiError as error:
        raise located(error, terms.text, condition.operand.at) from error


def comparable(column: Column) -> pl.Expr:
    """The column in the form in which values of its type compare and sort."""
    expr = pl.col(column.name)
    if column.kind in NUMBERS:
        return expr.cast(DECIMAL, strict=False)
    if column.kind == "boolean":
        return expr.fill_null("false")
    return expr if column.kind in EXACT or column.field["caseSensitive"] else expr.str.to_lowercase()


def _comparison(column: Column, operator: str, literal: ast.Literal, now: datetime) -> pl.Expr:
    if literal.kind == "null" or (literal.kind == "string" and not literal.text and operator in ("=", "!=")):
        return _null_check(column, operator)  # empty text is null
    if operator == "like":
        return _like(column, literal)
    if literal.kind in ("word", "bind"):
        return _within_days(column, operator, literal, now)
    value = _value(column, literal)
    if column.kind in ("boolean", "multipicklist") and operator not in ("=", "!="):
        raise _bad_operator(column)
    left = comparable(column)
    if isinstance(value, Decimal):
        return _number(left, operator, value)
    return _compared(left, operator, pl.lit(value))


def _compared(left: pl.Expr, operator: str, right: pl.Expr) -> pl.Expr:
    if operator == "!=":
        return (left != right).fill_null(True)
    table = {"=": left.__eq__, "<": left.__lt__, "<=": left.__le__, ">": left.__gt__, ">=": left.__ge__}
    return table[operator](right).fill_null(False)


def _number(left: pl.Expr, operator: str, value: Decimal) -> pl.Expr:
    if abs(value) >= _OUT_OF_RANGE:  # beyond every stored number: only the sign matters
        holds = {"=": False, "!=": True, "<": value > 0, "<=": value > 0, ">": value < 0, ">=": value < 0}[operator]
        return pl.lit(True) if operator == "!=" else left.is_not_null() & holds
    return _compared(left, operator, pl.lit(value, dtype=DECIMAL))


def _null_check(column: Column, operator: str) -> pl.Expr:
    if operator not in ("=", "!="):
        raise _bad_operator(column)
    empty = pl.lit(False) if column.kind == "boolean" else pl.col(column.name).is_null()
    return empty if operator == "=" else ~empty


def _like(column: Column, literal: ast.Literal) -> pl.Expr:
    if column.kind in EXACT | NUMBERS | {"multipicklist"}:
        raise _bad_operator(column)
    if literal.kind != "string":
        raise _bad_value(column, literal)
    pieces = re.split(r"(\\[_%]|%|_)", literal.text)
    pattern = "".join({"%": ".*", "_": "."}.get(p) or _quoted(p[1:] if p[:2] in ("\\_", "\\%") else p) for p in pieces)
    return pl.col(column.name).str.contains(f"(?is)^{pattern}$").fill_null(False)


def _quoted(text: str) -> str:
    return "".join(c if c.isalnum() else f"\\x{{{ord(c):x}}}" for c in text)


def _within_days(column: Column, operator: str, literal: ast.Literal, now: datetime) -> pl.Expr:
    days = day_range(literal.text, now.date()) if literal.kind == "word" else None
    if days is None:
        raise malformed("Bind variables only allowed in Apex code")
    if column.kind not in ("date", "datetime"):
        raise _bad_value(column, literal)
    low, high = _day_text(column, days[0]), _day_text(column, days[1])
    value = pl.col(column.name)
    inside = (value >= low) & (value < high)
    open_ended = literal.text.upper().startswith(_UNTIL_NOW)
    table = {
        "=": inside,
        "!=": ~inside,
        "<": value < low,
        "<=": value < high,
        ">": value > low if open_ended else value >= high,
        ">=": value >= low,
    }
    return table[operator].fill_null(operator == "!=")


def _day_text(column: Column, day: date) -> str:
    return day.isoformat() if column.kind == "date" else f"{day.isoformat()}T00:00:00.000Z"


def _membership(column: Column, condition: ast.Membership, now: datetime) -> pl.Expr:
    if condition.operator in ("includes", "excludes"):
        return _includes(column, condition)
    special = [v for v in condition.values if v.kind in ("null", "word", "bind") or v.text == ""]
    values = [_value(column, v) for v in condition.values if v not in special]
    if column.kind in NUMBERS:
        known = [v for v in values if isinstance(v, Decimal) and abs(v) < _OUT_OF_RANGE]
        listed = pl.Series(known, dtype=DECIMAL)
    else:
        listed = pl.Series(values, dtype=pl.String)
    found = comparable(column).is_in(listed.implode()).fill_null(False)
    for literal in special:
        found = found | _comparison(column, "=", literal, now)
    return ~found if condition.operator == "not in" else found


def _includes(column: Column, condition: ast.Membership) -> pl.Expr:
    if column.kind != "multipicklist":
        raise _bad_operator(column)
    chosen = pl.col(column.name).str.to_lowercase().str.split(";")
    wanted = [[part.lower() for part in v.text.split(";")] for v in condition.values]
    hit = pl.any_horizontal([pl.all_horizontal([chosen.list.contains(p) for p in parts]) for parts in wanted])
    hit = hit.fill_null(False)
    return hit if condition.operator == "includes" else ~hit


def _value(column: Column, literal: ast.Literal) -> str | Decimal:
    """A literal in the form of `comparable`.

    Raises:
        ApiError: 400 INVALID_FIELD if it is no value of the column's type.
    """
    kind = column.kind
    family = "number" if kind in NUMBERS else kind if kind in EXACT else "text"
    if column.field["referenceTo"] == ["EntityDefinition"]:
        family = "text"  # objects are named by their API name, not by a record id
    read = _READERS.get((family, literal.kind))
    if read is None:
        raise _bad_value(column, literal)
    try:
        value = read(literal.text)
    except (ValueError, ArithmeticError) as error:
        raise _bad_value(column, literal) from error
    return value.lower() if family == "text" and isinstance(value, str) and not column.field["caseSensitive"] else value


def _id(text: str) -> str:
    found = ids.normalise(text)
    if found is None:
        raise ApiError(400, "INVALID_QUERY_FILTER_OPERATOR", f"invalid ID field: {text}")
    return found


def _plain(text: str) -> str:
    return text.replace("\\_", "_").replace("\\%", "%")


_READERS: dict[tuple[str, str], Callable[[str], str | Decimal]] = {
    ("number", "number"): Decimal,
    ("number", "currency"): lambda text: Decimal(text[3:]),
    ("id", "string"): _id,
    ("reference", "string"): _id,
    ("boolean", "boolean"): str.lower,
    ("datetime", "datetime"): datetime_text,
    ("date", "date"): lambda text: date.fromisoformat(text).isoformat(),
    ("time", "time"): time_text,
    ("text", "string"): _plain,
}


def _bad_operator(column: Column) -> ApiError:
    kind = "id" if column.kind == "reference" else column.kind
    return ApiError(400, "INVALID_QUERY_FILTER_OPERATOR", f"invalid operator on {kind} field")


def _bad_value(column: Column, literal: ast.Literal) -> ApiError:
    name, kind = column.field["name"], _TYPE_NAMES.get(column.kind, column.kind)
    if literal.kind == "string":
        quotes = " and should not be enclosed in quotes"
    else:
        quotes = " and should be enclosed in quotes" if column.kind not in EXACT | NUMBERS else ""
    return invalid_field(f"value of filter criterion for field '{name}' must be of type {kind}{quotes}")
