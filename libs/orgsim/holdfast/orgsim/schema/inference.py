"""Guesses the type of a field once, from its name and its values; a doubt ends as text."""

from __future__ import annotations

from typing import Any

import polars as pl

from holdfast.orgsim.schema.fields import make_field

_DATE = r"^\d{4}-\d\d-\d\d$"
_DATETIME = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d"
# Whole numbers without a decimal point stay text (00123): exports of numbers always carry one.
_DECIMAL = r"^-?\d+\.\d+$"


def field_for(name: str, values: pl.Series) -> dict[str, Any]:
    """A field definition that can hold `values`."""
    kind = _kind(name, values.drop_nulls())
    if kind == "string":
        longest = values.str.len_chars().max()
        if isinstance(longest, int) and longest > 255:
            return make_field(name, "textarea")
    return make_field(name, kind)


def _kind(name: str, values: pl.Series) -> str:
    if values.is_empty():
        return _by_name(name)
    if values.is_in(["true", "false"]).all():
        return "boolean"
    if values.str.contains(_DATE).all():
        return "date"
    if values.str.contains(_DATETIME).all():
        return "datetime"
    if values.str.contains(_DECIMAL).all():
        lowered = name.lower()
        return "currency" if "amount" in lowered else "percent" if "percent" in lowered else "double"
    return "email" if values.str.contains(r"^\S+@\S+\.\S+$").all() else "string"


def _by_name(name: str) -> str:
    lowered = name.lower()
    if "date" in lowered.split("_") or lowered.endswith("date__c"):
        return "date"
    if "amount" in lowered:
        return "currency"
    return "string"
