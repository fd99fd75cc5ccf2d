"""Functions and operators of formulas as column expressions, with the kinds of value they take and give.

A value's kind is text, number, boolean, date, datetime, or null for the constant. Blank text counts as null.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import polars as pl

from holdfast.orgsim.schema.formulas.parse import FormulaError

TEXT, NUMBER, BOOLEAN, DATE, DATETIME, NULL = "text", "number", "boolean", "date", "datetime", "null"
TODAY_COLUMN = "$TODAY"  # a date column that the evaluation adds


@dataclass(frozen=True)
class Value:
    """An expression and the kind of what it gives."""

    expr: pl.Expr
    kind: str


Function = Callable[[Sequence[Value]], Value]


def apply(name: str, operands: Sequence[Value]) -> Value:
    """A function on its operands.

    Raises:
        FormulaError: there is no such function, or it does not take these.
    """
    function = _FUNCTIONS.get(name)
    if function is None:
        raise FormulaError(f"{name} is not among the functions that are evaluated")
    try:
        return function(operands)
    except (ValueError, IndexError) as error:
        if isinstance(error, FormulaError):
            raise
        raise FormulaError(f"{name} does not take {len(operands)} values") from error


def _need(value: Value, *kinds: str) -> pl.Expr:
    if value.kind not in (*kinds, NULL):
        raise FormulaError(f"found {value.kind} where {' or '.join(kinds)} is needed")
    return value.expr


def _text(value: Value) -> pl.Expr:
    return _need(value, TEXT).fill_null("")


def _flag(value: Value) -> pl.Expr:
    return _need(value, BOOLEAN).fill_null(False)


def _same_kind(values: Sequence[Value]) -> str:
    kinds = {v.kind for v in values} - {NULL}
    if len(kinds) > 1:
        raise FormulaError(f"values of different kinds: {', '.join(sorted(kinds))}")
    return kinds.pop() if kinds else NULL


def _blank(value: Value) -> pl.Expr:
    return (value.expr == "").fill_null(True) if value.kind == TEXT else value.expr.is_null()


def _if(values: Sequence[Value]) -> Value:
    condition, yes, no = values
    return Value(pl.when(_flag(condition)).then(yes.expr).otherwise(no.expr), _same_kind([yes, no]))


def _case(values: Sequence[Value]) -> Value:
    subject, *pairs, fallback = values
    if len(pairs) % 2 or not pairs:
        raise ValueError
    kind = _same_kind([*pairs[1::2], fallback])
    result = fallback.expr
    for match, answer in reversed(list(zip(pairs[::2], pairs[1::2], strict=True))):
        _same_kind([subject, match])
        result = pl.when((subject.expr == match.expr).fill_null(False)).then(answer.expr).otherwise(result)
    return Value(result, kind)


def _comparison(name: str) -> Function:
    operations: dict[str, Callable[[pl.Expr, pl.Expr], pl.Expr]] = {
        "=": lambda a, b: a == b, "<>": lambda a, b: a != b, "<": lambda a, b: a < b, "<=": lambda a, b: a <= b,
        ">": lambda a, b: a > b, ">=": lambda a, b: a >= b,
    }  # fmt: skip

    def compare(values: Sequence[Value]) -> Value:
        left, right = values
        if _same_kind(values) == TEXT:
            return Value(operations[name](_text(left), _text(right)), BOOLEAN)
        return Value(operations[name](left.expr, right.expr).fill_null(name == "<>"), BOOLEAN)

    return compare


def _add(values: Sequence[Value]) -> Value:
    left, right = values
    if TEXT in (left.kind, right.kind):
        return Value(pl.concat_str([_text(left), _text(right)]), TEXT)
    return _shift(left, right, 1)


def _subtract(values: Sequence[Value]) -> Value:
    left, right = values
    if left.kind == right.kind == DATE:
        return Value((left.expr - right.expr).dt.total_days().cast(pl.Float64), NUMBER)
    if left.kind == right.kind == DATETIME:
        return Value((left.expr - right.expr).dt.total_milliseconds() / 86_400_000, NUMBER)
    return _shift(left, right, -1)


def _shift(left: Value, right: Value, sign: int) -> Value:
    """Numbers added, or a date moved by days."""
    if left.kind in (DATE, DATETIME):
        days = _need(right, NUMBER) * sign
        if left.kind == DATE:
            return Value(left.expr + pl.duration(days=days.floor().cast(pl.Int64)), DATE)
        return Value(left.expr + pl.duration(milliseconds=(days * 86_400_000).cast(pl.Int64)), DATETIME)
    return Value(_need(left, NUMBER) + sign * _need(right, NUMBER), NUMBER)


def _arithmetic(operation: Callable[[pl.Expr, pl.Expr], pl.Expr]) -> Function:
    def calculate(values: Sequence[Value]) -> Value:
        left, right = (_need(v, NUMBER) for v in values)
        result = operation(left, right)
        return Value(pl.when(result.is_finite()).then(result), NUMBER)

    return calculate


def _numeric(operation: Callable[[pl.Expr], pl.Expr]) -> Function:
    def calculate(values: Sequence[Value]) -> Value:
        (value,) = values
        return Value(operation(_need(value, NUMBER)), NUMBER)

    return calculate


def _round(values: Sequence[Value]) -> Value:
    number, digits = (_need(v, NUMBER) for v in values)
    factor = pl.lit(10.0).pow(digits)
    shifted = number * factor
    away = pl.when(shifted < 0).then((shifted - 0.5).ceil()).otherwise((shifted + 0.5).floor())  # half away from zero
    return Value(away / factor, NUMBER)


def _as_text(values: Sequence[Value]) -> Value:
    (value,) = values
    if value.kind == NUMBER:
        return Value(value.expr.cast(pl.String).str.replace(r"\.0$", ""), TEXT)
    if value.kind == DATETIME:
        return Value(value.expr.dt.strftime("%Y-%m-%d %H:%M:%SZ"), TEXT)
    return Value(value.expr.cast(pl.String), TEXT)


def _part_of_text(values: Sequence[Value], name: str) -> Value:
    text, count = _text(values[0]), _need(values[-1], NUMBER).cast(pl.Int64)
    if name == "MID":
        return Value(text.str.slice(_need(values[1], NUMBER).cast(pl.Int64) - 1, count), TEXT)
    return Value(text.str.head(count) if name == "LEFT" else text.str.tail(count), TEXT)


def _found(values: Sequence[Value], name: str) -> Value:
    text, part = (_text(v) for v in values)
    return Value(text.str.contains(part, literal=True) if name == "CONTAINS" else text.str.starts_with(part), BOOLEAN)


def _blank_value(values: Sequence[Value]) -> Value:
    value, instead = values
    return Value(pl.when(_blank(value)).then(instead.expr).otherwise(value.expr), _same_kind(values))


def _extreme(values: Sequence[Value], function: Callable[..., pl.Expr]) -> Value:
    return Value(function([_need(v, NUMBER) for v in values]), NUMBER)


def _date_part(part: str) -> Function:
    def take(values: Sequence[Value]) -> Value:
        (value,) = values
        return Value(getattr(_need(value, DATE).dt, part)().cast(pl.Float64), NUMBER)

    return take


_FUNCTIONS: dict[str, Function] = {
    "IF": _if,
    "CASE": _case,
    "AND": lambda vs: Value(pl.all_horizontal([_flag(v) for v in vs]), BOOLEAN),
    "OR": lambda vs: Value(pl.any_horizontal([_flag(v) for v in vs]), BOOLEAN),
    "NOT": lambda vs: Value(~_flag(vs[0]), BOOLEAN),
    "ISBLANK": lambda vs: Value(_blank(vs[0]), BOOLEAN),
    "ISNULL": lambda vs: Value(_blank(vs[0]), BOOLEAN),
    "BLANKVALUE": _blank_value,
    "NULLVALUE": _blank_value,
    "ISPICKVAL": _comparison("="),
    **{name: _comparison(name) for name in ("=", "<>", "<", "<=", ">", ">=")},
    "&": lambda vs: Value(pl.concat_str([_text(v) for v in vs]), TEXT),
    "+": _add,
    "-": _subtract,
    "*": _arithmetic(lambda a, b: a * b),
    "/": _arithmetic(lambda a, b: a / b),
    "^": _arithmetic(lambda a, b: a.pow(b)),
    "MOD": _arithmetic(lambda a, b: a % b),
    "ABS": _numeric(lambda a: a.abs()),
    "FLOOR": _numeric(lambda a: a.floor()),
    "CEILING": _numeric(lambda a: a.ceil()),
    "ROUND": _round,
    "MAX": lambda vs: _extreme(vs, pl.max_horizontal),
    "MIN": lambda vs: _extreme(vs, pl.min_horizontal),
    "TEXT": _as_text,
    "VALUE": lambda vs: Value(_text(vs[0]).cast(pl.Float64, strict=False), NUMBER),
    "LEN": lambda vs: Value(_text(vs[0]).str.len_chars().cast(pl.Float64), NUMBER),
    "UPPER": lambda vs: Value(_text(vs[0]).str.to_uppercase(), TEXT),
    "LOWER": lambda vs: Value(_text(vs[0]).str.to_lowercase(), TEXT),
    "TRIM": lambda vs: Value(_text(vs[0]).str.strip_chars(" "), TEXT),
    "LEFT": lambda vs: _part_of_text(vs, "LEFT"),
    "RIGHT": lambda vs: _part_of_text(vs, "RIGHT"),
    "MID": lambda vs: _part_of_text(vs, "MID"),
    "CONTAINS": lambda vs: _found(vs, "CONTAINS"),
    "BEGINS": lambda vs: _found(vs, "BEGINS"),
    "TODAY": lambda vs: Value(pl.col(TODAY_COLUMN), DATE),
    "DATEVALUE": lambda vs: Value(_need(vs[0], DATE, DATETIME).cast(pl.Date), DATE),
    "YEAR": _date_part("year"),
    "MONTH": _date_part("month"),
    "DAY": _date_part("day"),
}
