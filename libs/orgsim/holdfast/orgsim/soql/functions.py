"""Functions of one field inside a query: parts of dates, distances, and those that only shape the answer."""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import Decimal

import polars as pl

from holdfast.orgsim.errors import ApiError
from holdfast.orgsim.soql import ast
from holdfast.orgsim.soql.messages import malformed

AGGREGATES = frozenset({"count", "count_distinct", "min", "max", "sum", "avg"})
SHOWN_AS_IS = frozenset({"tolabel", "format", "convertcurrency"})
_EARTH_KM, _EARTH_MILES = 6371.0088, 3958.7613


def is_aggregate(value: ast.Operand) -> bool:
    """Whether the value makes its query an aggregate one."""
    return isinstance(value, ast.Call) and value.function in AGGREGATES


def is_date_function(value: ast.Operand) -> bool:
    """Whether the value is a part of a date."""
    return isinstance(value, ast.Call) and value.function in _PARTS


def date_part(function: str, column: pl.Expr, kind: str) -> tuple[pl.Expr, str]:
    """A part of a date or datetime column as text, and the part's type.

    Raises:
        ApiError: 400 if the column holds no dates.
    """
    if kind not in ("date", "datetime") or (kind == "date" and function in ("hour_in_day", "day_only")):
        raise ApiError(400, "INVALID_FIELD", f"field does not support the function {function.upper()}")
    if function == "day_only":
        return column.str.slice(0, 10), "date"
    if function == "hour_in_day":
        return column.str.slice(11, 2).cast(pl.Int32, strict=False).cast(pl.String), "int"
    day = column.str.slice(0, 10).str.to_date("%Y-%m-%d", strict=False)
    return _PARTS[function](day).cast(pl.String), "int"


_PARTS: dict[str, Callable[[pl.Expr], pl.Expr]] = {
    "calendar_month": lambda d: d.dt.month(),
    "calendar_quarter": lambda d: d.dt.quarter(),
    "calendar_year": lambda d: d.dt.year(),
    "fiscal_month": lambda d: d.dt.month(),
    "fiscal_quarter": lambda d: d.dt.quarter(),
    "fiscal_year": lambda d: d.dt.year(),
    "day_in_month": lambda d: d.dt.day(),
    "day_in_week": lambda d: d.dt.weekday() % 7 + 1,
    "day_in_year": lambda d: d.dt.ordinal_day(),
    "week_in_month": lambda d: (d.dt.day() - 1) // 7 + 1,
    "week_in_year": lambda d: (d.dt.ordinal_day() - 1) // 7 + 1,
    "hour_in_day": lambda d: d,
    "day_only": lambda d: d,
}


def distance(call: ast.Call, latitude: pl.Expr, longitude: pl.Expr) -> pl.Expr:
    """`DISTANCE(field, GEOLOCATION(lat, lon), 'mi'|'km')` over two columns of degrees, as text.

    Raises:
        ApiError: 400 MALFORMED_QUERY for other arguments.
    """
    try:
        _, place, unit = call.args
        assert isinstance(place, ast.Call)
        assert isinstance(unit, ast.Literal)
        to_lat, to_lon = (math.radians(float(Decimal(a.text))) for a in place.args if isinstance(a, ast.Literal))
        radius = {"km": _EARTH_KM, "mi": _EARTH_MILES}[unit.text.lower()]
    except (AssertionError, ValueError, ArithmeticError, KeyError) as error:
        raise malformed("Invalid arguments of DISTANCE") from error
    lat, lon = (c.cast(pl.Float64, strict=False) * (math.pi / 180) for c in (latitude, longitude))
    half = ((lat - to_lat) / 2).sin() ** 2 + math.cos(to_lat) * lat.cos() * ((lon - to_lon) / 2).sin() ** 2
    return (half.clip(0, 1).sqrt().arcsin() * (2 * radius)).cast(pl.String)
