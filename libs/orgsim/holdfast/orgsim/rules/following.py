"""Saves that follow from a save: past the checks, but with formulas, roll-ups, history and whatever else follows."""

from __future__ import annotations

import polars as pl

from holdfast.orgsim.clock import stamp
from holdfast.orgsim.rules.batch import Batch
from holdfast.orgsim.rules.formulas import calculate
from holdfast.orgsim.rules.registry import AFTER_SAVE
from holdfast.orgsim.schema.objects import SObject

STAMPS = ("SystemModstamp", "LastModifiedDate")


def follow(
    batch: Batch, obj: SObject, operation: str, before: pl.DataFrame | None, after: pl.DataFrame, note: str
) -> None:
    """Save rows of another object because of `batch`, then run what follows a save."""
    if not after.height:
        return
    after = calculate(batch.org, obj, after)
    batch.also(obj, operation, before, after, note)
    following = Batch(batch.org, obj, batch.user, batch.api, operation, after, before)
    for rule in AFTER_SAVE:
        rule(following)


def stamped(batch: Batch, rows: pl.DataFrame) -> pl.DataFrame:
    """Rows with their stamps moved, as when a user had changed them."""
    now = stamp(batch.org.clock.now())
    moved = [pl.lit(now).alias(name) for name in STAMPS if name in rows.columns]
    if "LastModifiedById" in rows.columns:
        moved.append(pl.lit(batch.user.id).alias("LastModifiedById"))
    return rows.with_columns(moved)


def fresh_rows(batch: Batch, obj: SObject, rows: pl.DataFrame) -> pl.DataFrame:
    """New rows of a derived object: the given columns, ids if they bring none, audit fields of now."""
    now, who = stamp(batch.org.clock.now()), batch.user.id
    fixed = {"IsDeleted": "false", "CreatedDate": now, "LastModifiedDate": now, "SystemModstamp": now,
             "CreatedById": who, "LastModifiedById": who, "InsertedById": who}  # fmt: skip
    if "Id" not in rows.columns:
        rows = rows.with_columns(batch.org.new_ids(obj, rows.height).alias("Id"))
    rows = rows.with_columns([pl.lit(v).alias(n) for n, v in fixed.items() if n in obj.fields])
    columns = batch.org.table(obj).columns
    return rows.select(
        pl.col(n).cast(pl.String) if n in rows.columns else pl.lit(None, dtype=pl.String).alias(n) for n in columns
    )
