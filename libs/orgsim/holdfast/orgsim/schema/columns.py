"""Whole columns in canonical text. Each distinct value is converted once, by the same rules as single values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from holdfast.orgsim.errors import ApiError
from holdfast.orgsim.schema.values import canonical

TEXTUAL = frozenset({"string", "picklist", "multipicklist", "textarea", "phone", "url", "email", "combobox",
                     "encryptedstring", "base64", "anyType"})  # fmt: skip


def canonical_column(field: Mapping[str, Any], values: pl.Series) -> tuple[pl.Series, dict[int, ApiError] | None]:
    """The stored text of each value; empty text is null.

    Returns:
        The column, and for each row whose value is not one of the field's type why not; None if there are none.
    """
    if field["type"] in TEXTUAL:
        return values.set((values == "").fill_null(value=False), None), None
    distinct = values.drop_nulls().unique()
    table: dict[str, str | None] = {}
    wrong: dict[str, ApiError] = {}
    for text in distinct.to_list():
        try:
            table[text] = canonical(field, text)
        except ApiError as error:
            wrong[text] = error
            table[text] = None
    stored = values.replace_strict(table, default=None, return_dtype=pl.String) if table else values
    if not wrong:
        return stored, None
    rows = values.is_in(pl.Series(list(wrong)).implode()).arg_true().to_list()
    return stored, {row: wrong[values[row]] for row in rows}
