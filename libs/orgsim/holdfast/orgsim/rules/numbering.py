"""What a new record is given: display numbers, and the defaults of its fields."""

from __future__ import annotations

import polars as pl

from holdfast.orgsim.rules.batch import Batch


def auto_numbers(batch: Batch) -> None:
    """The next numbers of auto-number fields with a format of their own. A refused row leaves a gap, as there."""
    if batch.operation != "insert":
        return
    for name, numbering in batch.obj.traits.auto_numbers.items():
        key = f"{batch.obj.name}.{name}"
        first = batch.org.auto_numbers.get(key, numbering.start)
        batch.org.auto_numbers[key] = first + batch.height
        before, width, after = numbering.parts()
        digits = pl.int_range(first, first + batch.height, eager=True).cast(pl.String).str.zfill(width)
        batch.set(name, pl.select(pl.concat_str(pl.lit(before), digits, pl.lit(after))).to_series())


def currency(batch: Batch) -> None:
    """In an org with several currencies a new record is in the org's own unless it names another."""
    if batch.operation == "insert" and batch.org.corporate_currency and "CurrencyIsoCode" in batch.obj.fields:
        batch.set("CurrencyIsoCode", batch.org.corporate_currency, pl.col("CurrencyIsoCode").is_null())


def defaults(batch: Batch) -> None:
    """The default of each field that the caller did not name."""
    if batch.operation != "insert":
        return
    for name, field in batch.obj.fields.items():
        default = field["defaultValue"]
        if default is not None and field["type"] != "boolean":
            batch.set(name, str(default), pl.col(name).is_null() & ~batch.gave(name))
