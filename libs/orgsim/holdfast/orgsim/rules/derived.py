"""Values that the platform works out from other values of the same record."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from holdfast.orgsim.rules.batch import Batch
from holdfast.orgsim.schema.objects import SObject

PERSON_NAMES = frozenset({"Contact", "Individual", "Lead", "User"})
WON_STAGES = ("Closed Won",)
# What the platform tells of a status: (object, field) → the flag, and the value that sets it.
FLAGS = {("Task", "Status"): ("IsClosed", "Completed"), ("Task", "Priority"): ("IsHighPriority", "High"),
         ("Solution", "Status"): ("IsReviewed", "Reviewed")}  # fmt: skip
STATUS_CODES = {"In Approval Process": "InApproval"}  # of contracts and orders; otherwise the status itself


def derive(batch: Batch) -> None:
    """Names of people, the state of an opportunity, a task, a contract."""
    columns = derived_columns(batch.obj, batch.after.columns)
    if columns:
        batch.after = batch.after.with_columns(columns)


def derived_columns(obj: SObject, present: Sequence[str]) -> list[pl.Expr]:
    """The derived columns that the columns which are there give; for saves and for mass loads."""
    if obj.name in PERSON_NAMES and "LastName" in present and "Name" in obj.fields:
        parts = [pl.col(n) for n in ("FirstName", "LastName") if n in present]
        name = pl.concat_str(parts, separator=" ", ignore_nulls=True)
        return [pl.when(name != "").then(name).alias("Name")]
    if obj.name == "Opportunity" and "StageName" in present:
        stage = pl.col("StageName").fill_null("")
        closed, won = stage.str.starts_with("Closed"), stage.is_in(list(WON_STAGES))
        flags = {"IsClosed": closed, "IsWon": won}
        return [_flag(e, n) for n, e in flags.items()]
    if obj.name in ("Contract", "Order") and "Status" in present and "StatusCode" in obj.fields:
        return [pl.col("Status").replace(STATUS_CODES).alias("StatusCode")]
    return [
        _flag(pl.col(source).eq_missing(value), flag)
        for (name, source), (flag, value) in FLAGS.items()
        if name == obj.name and source in present and flag in obj.fields
    ]


def _flag(condition: pl.Expr, name: str) -> pl.Expr:
    return pl.when(condition).then(pl.lit("true")).otherwise(pl.lit("false")).alias(name)
