"""Brings computed fields up to date after rows were loaded or a schema changed. That moves no stamp."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from holdfast.orgsim.rules.formulas import recalculate
from holdfast.orgsim.rules.rollups import summarised
from holdfast.orgsim.schema.objects import SObject

if TYPE_CHECKING:
    from holdfast.orgsim.org import Org


def settle(org: Org) -> None:
    """Work out every roll-up and formula; records without a currency get the org's own."""
    with_rows = [obj for obj in list(org.schema.objects.values()) if obj.name in org.tables]
    for obj in with_rows:
        if org.corporate_currency is not None and "CurrencyIsoCode" in obj.fields:
            bare = org.table(obj).scan().filter(pl.col("CurrencyIsoCode").is_null()).collect()
            currency = pl.lit(org.corporate_currency).alias("CurrencyIsoCode")
            _keep(org, obj, bare, bare.with_columns(currency), "currency: switched on")
        if obj.traits.roll_ups:
            rows = org.table(obj).frame()
            _keep(org, obj, rows, summarised(org, obj, rows, list(obj.traits.roll_ups)), "roll-up: defined")
    for obj in with_rows:
        recalculate(org, obj)


def _keep(org: Org, obj: SObject, before: pl.DataFrame, after: pl.DataFrame, note: str) -> None:
    if not before.height:
        return
    moved = pl.select(pl.any_horizontal(after[n].ne_missing(before[n]) for n in after.columns)).to_series()
    if moved.any():
        org.transactions.save(obj, "update", before.filter(moved), after.filter(moved), who=org.admin.id,
                              api="platform", notes=note)  # fmt: skip
