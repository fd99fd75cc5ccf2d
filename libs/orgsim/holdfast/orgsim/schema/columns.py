"""Whole columns in canonical text, by the same rules as single values.

What already has the usual form of its type is rewritten as a column; of the rest each distinct value is converted once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import polars as pl

from holdfast.orgsim import ids
from holdfast.orgsim.errors import ApiError
from holdfast.orgsim.schema.values import canonical

TEXTUAL = frozenset({"string", "picklist", "multipicklist", "textarea", "phone", "url", "email", "combobox",
                     "encryptedstring", "base64", "anyType"})  # fmt: skip
FEW = 8  # so many are quicker one by one


def canonical_column(field: Mapping[str, Any], values: pl.Series) -> tuple[pl.Series, dict[int, ApiError] | None]:
    """The stored text of each value; empty text is null.

    Returns:
        The column, and for each row whose value is not one of the field's type why not; None if there are none.
    """
    plain = values.set((values == "").fill_null(value=False), None)
    if field["type"] in TEXTUAL:
        return plain, None
    usual = _USUAL.get(field["type"])
    quick = usual(plain) if usual is not None and len(plain) > FEW else None
    left = plain if quick is None else plain.set(quick.is_not_null(), None)
    distinct = left.drop_nulls().unique()
    table: dict[str, str | None] = {}
    wrong: dict[str, ApiError] = {}
    for text in distinct.to_list():
        try:
            table[text] = canonical(field, text)
        except ApiError as error:
            wrong[text] = error
            table[text] = None
    stored = left.replace_strict(table, default=None, return_dtype=pl.String) if table else left
    if quick is not None:
        stored = quick if not table else quick.zip_with(quick.is_not_null(), stored)
    if not wrong:
        return stored, None
    rows = left.is_in(pl.Series(list(wrong)).implode()).fill_null(value=False).arg_true().to_list()
    return stored, {row: wrong[left[row]] for row in rows}


def _column(values: pl.Series, usual: pl.Expr, text: pl.Expr) -> pl.Series:
    return values.alias("v").to_frame().select(pl.when(usual).then(text)).to_series()


def _numbers(values: pl.Series) -> pl.Series:
    v = pl.col("v")
    whole = v.str.replace(r"^(-?)0+([0-9])", "$1$2")
    cut = pl.when(whole.str.contains(".", literal=True)).then(whole.str.strip_chars_end("0")).otherwise(whole + ".")
    text = pl.when(cut.str.ends_with(".")).then(cut + "0").otherwise(cut)
    return _column(
        values, v.str.contains(r"^-?[0-9]+(\.[0-9]+)?$"), pl.when(text == "-0.0").then(pl.lit("0.0")).otherwise(text)
    )


def _whole_numbers(values: pl.Series) -> pl.Series:
    v = pl.col("v")
    text = v.str.replace(r"^(-?)0+([0-9])", "$1$2")
    return _column(values, v.str.contains(r"^-?[0-9]+$"), pl.when(text == "-0").then(pl.lit("0")).otherwise(text))


def _dates(values: pl.Series) -> pl.Series:
    v = pl.col("v")
    known = v.str.contains(r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$") & v.str.to_date("%Y-%m-%d", strict=False).is_not_null()
    return _column(values, known & ~v.str.starts_with("0000"), v)


def _datetimes(values: pl.Series) -> pl.Series:
    v = pl.col("v")
    shaped = v.str.contains(r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-5][0-9]\.[0-9]{3}Z$")
    known = v.str.to_datetime("%Y-%m-%dT%H:%M:%S%.3fZ", time_unit="ms", strict=False).is_not_null()
    return _column(values, shaped & known & ~v.str.starts_with("0000"), v)


_USUAL: dict[str, Callable[[pl.Series], pl.Series]] = {
    "id": ids.normalised,
    "reference": ids.normalised,
    "int": _whole_numbers,
    "long": _whole_numbers,
    "double": _numbers,
    "currency": _numbers,
    "percent": _numbers,
    "date": _dates,
    "datetime": _datetimes,
}
