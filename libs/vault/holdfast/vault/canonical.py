"""One value, one text, whichever API delivered it: `docs/formats/vault.md` §3.

Every rule is an expression over a column. A column that already has canonical form, which is the usual case,
costs one regular expression and is handed on without a copy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from holdfast.common.errors import HoldfastError, Kind
from holdfast.vault.record_id import keyed_ids, long_ids
from holdfast.vault.schema import RecordSchema

Source = Literal["bulk", "rest"]

_NUMBER_TYPES = frozenset({"int", "long", "double", "currency", "percent"})
_ID_TYPES = frozenset({"id", "reference"})

_PLAIN = r"^(?:-?[1-9]\d*|0)$|^-?(?:0|[1-9]\d*)\.\d*[1-9]$"
_EXPONENT = r"^[+-]?(?:\d+\.?\d*|\.\d+)[eE][+-]?\d{1,4}$"
_DECIMAL = r"^([+-]?)0*(\d*?)(?:\.(\d*?)0*)?$"
_LARGEST_EXPONENT = 400
_DATETIME_BYTES, _TIME_BYTES = 24, 13  # with milliseconds and Z; no other form has that length and a Z


def canonical(table: pa.Table, schema: RecordSchema, source: Source) -> pa.Table:
    """Bring a page to canonical text.

    Args:
        table: One string column per field of the schema, as delivered (numbers as their raw tokens); null and
            the empty text are the same. Columns of fields that are not stored may be there or not.
        schema: Every stored field of it must have a column.
        source: Who delivered it. The rules recognise every delivered form and need no other hint; a REST page
            of an object without a column for `Id` is refused as a Bulk page is, unless its schema has a key.

    Returns:
        `Id`, then the schema's stored fields in order of their names; all `string`.

    Raises:
        HoldfastError: INVALID if a column is missing or the schema does not know one.
    """
    _require_columns(table, schema, source)
    types = {field.name: field.type for field in schema.stored}
    columns = {name: _canonical_column(table.column(name), kind) for name, kind in types.items()}
    if schema.key:
        keys = pl.DataFrame([pl.Series(name, pl.from_arrow(columns[name]), dtype=pl.String) for name in schema.key])
        ids: pa.Array | pa.ChunkedArray = keyed_ids(keys).to_arrow().cast(pa.string())
    else:
        ids = _canonical_column(table.column("Id"), "id")
    return pa.table({"Id": ids, **columns})


def _require_columns(table: pa.Table, schema: RecordSchema, source: Source) -> None:
    given = set(table.column_names)
    missing = (schema.names if schema.key else {"Id"} | schema.names) - given
    unknown = given - {field.name for field in schema.fields} - {"Id"}
    if missing or unknown or len(given) != table.num_columns:
        detail = f"{source} page of {schema.object}: missing {sorted(missing)}, unknown {sorted(unknown)}"
        message = f"Salesforce answered with other columns of {schema.object} than were asked for."
        raise HoldfastError(Kind.INVALID, message, code="unexpected-columns", detail=detail)


def _canonical_column(column: pa.ChunkedArray, field_type: str) -> pa.ChunkedArray:
    if column.null_count == len(column):
        return pa.chunked_array([pa.nulls(len(column), pa.string())])
    column = _without_empty(column)
    rule = _rule(field_type)
    if rule is None:
        return column
    matches, rewrite = rule
    values = pl.Series("value", pl.from_arrow(column))
    odd = ~matches(values)
    if not odd.any():
        return column
    odd = odd.fill_null(False)
    if field_type in _NUMBER_TYPES:
        values, odd = _without_trailing_zeros(values, odd)
    return _rewritten(values, odd, rewrite)


def _without_trailing_zeros(values: pl.Series, odd: pl.Series) -> tuple[pl.Series, pl.Series]:
    """`100.0` as `100`, which is how REST delivers doubles; ten times as fast as the general rule.

    Returns:
        The values, and which of them are still not canonical.
    """
    value = pl.col("value")
    short = value.str.strip_chars_end("0").str.strip_suffix(".").alias("short")
    frame = pl.DataFrame({"value": values, "odd": odd}).with_columns(short)
    one_point = value.str.count_matches(".", literal=True) == 1
    done = (pl.col("odd") & one_point & pl.col("short").str.contains(_PLAIN)).fill_null(False)
    result = frame.select(
        pl.when(done).then("short").otherwise("value").alias("value"), (pl.col("odd") & ~done).alias("odd")
    )
    return result["value"], result["odd"]


def _without_empty(column: pa.ChunkedArray) -> pa.ChunkedArray:
    column = column if pa.types.is_string(column.type) else column.cast(pa.string())
    empty = pc.equal(column, "")
    if not pc.any(empty).as_py():
        return column
    return pc.if_else(empty, pa.scalar(None, pa.string()), column)


def _rewritten(values: pl.Series, odd: pl.Series, rewrite: Callable[[pl.Expr], pl.Expr]) -> pa.ChunkedArray:
    if not odd.any():
        return pa.chunked_array([values.to_arrow().cast(pa.string())])
    frame = pl.DataFrame({"value": values, "odd": odd})
    texts = frame.lazy().filter("odd").select("value").unique()
    mapped = texts.with_columns(rewrite(pl.col("value")).alias("canonical")).collect()
    joined = frame.join(mapped, on="value", how="left", maintain_order="left")
    result = joined.select(pl.when("odd").then("canonical").otherwise("value").alias("value")).to_series()
    return pa.chunked_array([result.to_arrow().cast(pa.string())])


_Rule = tuple[Callable[[pl.Series], pl.Series], Callable[[pl.Expr], pl.Expr]]


def _rule(field_type: str) -> _Rule | None:
    """How to see that a text is canonical already, and how to make it so; None for text as it is."""
    if field_type in _NUMBER_TYPES:
        return (lambda s: s.str.contains(_PLAIN)), decimal_text
    if field_type == "datetime":
        return (lambda s: (s.str.len_bytes() == _DATETIME_BYTES) & s.str.ends_with("Z")), _datetime_text
    if field_type == "time":
        return (lambda s: (s.str.len_bytes() == _TIME_BYTES) & s.str.ends_with("Z")), _time_text
    if field_type == "boolean":
        return (lambda s: (s == "true") | (s == "false")), _boolean_text
    if field_type in _ID_TYPES:
        return (lambda s: s.str.len_bytes() != 15), long_ids
    return None


def _boolean_text(value: pl.Expr) -> pl.Expr:
    lower = value.str.to_lowercase()
    return pl.when(lower.is_in(["true", "false"])).then(lower).otherwise(value)


def _datetime_text(value: pl.Expr) -> pl.Expr:
    zoned = value.str.replace(r"^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?)[+-]00:?00$", "${1}Z")
    return _with_milliseconds(zoned, r"^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)")


def _time_text(value: pl.Expr) -> pl.Expr:
    return _with_milliseconds(value.str.replace(r"^(\d\d:\d\d:\d\d(?:\.\d+)?)$", "${1}Z"), r"^(\d\d:\d\d:\d\d)")


def _with_milliseconds(value: pl.Expr, head: str) -> pl.Expr:
    """Exactly three digits of a second; a text with more of them stays, or it would lose some."""
    whole = value.str.replace(head + r"Z$", "${1}.000Z")
    tenths = whole.str.replace(head + r"\.(\d)Z$", "${1}.${2}00Z")
    return tenths.str.replace(head + r"\.(\d\d)Z$", "${1}.${2}0Z")


def decimal_text(token: pl.Expr) -> pl.Expr:
    """The canonical decimal of a number's raw token; a token that is no number stays as it is."""
    exponent = token.str.extract(r"[eE]([+-]?\d{1,4})$", 1).cast(pl.Int64, strict=False)
    scientific = token.str.contains(_EXPONENT) & (exponent.abs() <= _LARGEST_EXPONENT)
    plain = pl.when(scientific).then(_expanded(token, exponent)).otherwise(token)
    decimal = plain.str.contains(r"^[+-]?(?:\d+\.?\d*|\.\d+)$")
    return pl.when(decimal).then(_trimmed(plain)).otherwise(token)


def _expanded(token: pl.Expr, exponent: pl.Expr) -> pl.Expr:
    """`1.5E3` as `1500`: the digits, with the point moved by the exponent."""
    sign = token.str.extract(r"^([+-]?)", 1)
    whole = token.str.extract(r"^[+-]?(\d*)", 1)
    digits = whole + token.str.extract(r"^[+-]?\d*\.?(\d*)", 1)
    point = whole.str.len_bytes().cast(pl.Int64) + exponent
    left = pl.max_horizontal(-point, pl.lit(0))
    padded = _zeros(left) + digits
    right = pl.max_horizontal(point - padded.str.len_bytes().cast(pl.Int64), pl.lit(0))
    padded = padded + _zeros(right)
    point = pl.max_horizontal(point, pl.lit(0))
    return sign + padded.str.slice(0, point) + pl.lit(".") + padded.str.slice(point)


def _zeros(count: pl.Expr) -> pl.Expr:
    return pl.lit("0" * (2 * _LARGEST_EXPONENT)).str.slice(0, count.clip(0, 2 * _LARGEST_EXPONENT))


def _trimmed(plain: pl.Expr) -> pl.Expr:
    """A plain decimal without needless zeros, point or sign."""
    whole = plain.str.extract(_DECIMAL, 2)
    fraction = plain.str.extract(_DECIMAL, 3).fill_null("")
    whole = pl.when(whole == "").then(pl.lit("0")).otherwise(whole)
    point = pl.when(fraction == "").then(pl.lit("")).otherwise(pl.lit("."))
    number = whole + point + fraction
    negative = plain.str.starts_with("-") & (number != "0")
    return pl.when(negative).then(pl.lit("-") + number).otherwise(number)
