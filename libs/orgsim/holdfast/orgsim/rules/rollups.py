"""Roll-up summaries: worked out from the living children after each save of them. That moves the parent's stamps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import polars as pl

from holdfast.orgsim.rules.batch import Batch
from holdfast.orgsim.rules.following import follow, stamped
from holdfast.orgsim.schema.formulas import KINDS, number_text
from holdfast.orgsim.schema.formulas.functions import NUMBER
from holdfast.orgsim.schema.objects import SObject
from holdfast.orgsim.schema.traits import RollUp

if TYPE_CHECKING:
    from holdfast.orgsim.org import Org

NOTE = "roll-up of {}"


def empty_roll_ups(batch: Batch) -> None:
    """A new record has no children yet: counts and sums begin at zero."""
    if batch.operation == "insert":
        for name, roll_up in batch.obj.traits.roll_ups.items():
            batch.set(name, "0.0" if roll_up.function in ("COUNT", "SUM") else None)


def roll_up_parents(batch: Batch) -> None:
    """The summaries of the parents that the saved children have, or had before; and of what leaves the bin."""
    if batch.operation == "undelete" and batch.obj.traits.roll_ups:
        _summarise(batch, batch.obj, batch.after["Id"], list(batch.obj.traits.roll_ups))
    for parent, names in _parents_of(batch.org, batch.obj):
        for lookup in {parent.traits.roll_ups[name].lookup for name in names}:
            ids = _touched(batch, lookup, [n for n in names if parent.traits.roll_ups[n].lookup == lookup], parent)
            _summarise(batch, parent, ids, [n for n in names if parent.traits.roll_ups[n].lookup == lookup])


def _parents_of(org: Org, child: SObject) -> Iterator[tuple[SObject, list[str]]]:
    for parent in org.schema.objects.values():
        names = [name for name, roll_up in parent.traits.roll_ups.items() if roll_up.child == child.name]
        if names and parent.name in org.tables:
            yield parent, names


def _touched(batch: Batch, lookup: str, names: list[str], parent: SObject) -> pl.Series:
    """Ids of parents whose children came, went, or changed in what is summarised."""
    columns = [lookup, "IsDeleted", *(of for n in names if (of := parent.traits.roll_ups[n].of) is not None)]
    moved = pl.select(pl.any_horizontal(batch.changed(c) for c in columns)).to_series()
    sides = [batch.after[lookup].filter(moved), batch.was(lookup).filter(moved)]
    return pl.concat(sides).drop_nulls().unique()


def _summarise(batch: Batch, parent: SObject, ids: pl.Series, names: list[str]) -> None:
    before = batch.org.table(parent).fetch(ids).filter(pl.col("IsDeleted") == "false")  # the bin stands still
    if not before.height:
        return
    after = summarised(batch.org, parent, before, names)
    moved = pl.select(pl.any_horizontal(after[n].ne_missing(before[n]) for n in names)).to_series()
    follow(batch, parent, "update", before.filter(moved), stamped(batch, after.filter(moved)),
           NOTE.format(batch.obj.name))  # fmt: skip


def summarised(org: Org, parent: SObject, rows: pl.DataFrame, names: list[str]) -> pl.DataFrame:
    """Rows of `parent` with their roll-ups as the children are now."""
    for name in names:
        roll_up = parent.traits.roll_ups[name]
        child = org.schema.objects[roll_up.child]
        children = org.table(child).where_in(roll_up.lookup, rows["Id"]).filter(pl.col("IsDeleted") == "false")
        totals = children.group_by(roll_up.lookup).agg(_total(parent, child, name, roll_up).alias("$total"))
        totals = totals.rename({roll_up.lookup: "$parent"})
        joined = rows.select("Id").join(totals, left_on="Id", right_on="$parent", how="left", maintain_order="left")
        empty = "0.0" if roll_up.function in ("COUNT", "SUM") else None
        rows = rows.with_columns(joined["$total"].cast(pl.String).fill_null(pl.lit(empty, dtype=pl.String)).alias(name))
    return rows


def _total(parent: SObject, child: SObject, name: str, roll_up: RollUp) -> pl.Expr:
    if roll_up.of is None:
        return pl.len().cast(pl.String) + ".0"
    if KINDS.get(child.fields[roll_up.of]["type"]) != NUMBER:  # dates: canonical text sorts as time does
        column = pl.col(roll_up.of)
        return column.min() if roll_up.function == "MIN" else column.max()
    number = pl.col(roll_up.of).cast(pl.Decimal(38, 15), strict=False)
    total = {"SUM": number.sum(), "MIN": number.min(), "MAX": number.max()}[roll_up.function]
    return number_text(total.cast(pl.Float64), int(parent.fields[name]["scale"]))
