"""Deletes that other records forbid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from holdfast.orgsim.rules.batch import Batch
from holdfast.orgsim.schema.objects import Schema, SObject

SHOWN = 10  # names of children in the sentence


def restricted_delete(batch: Batch) -> None:
    """A record stays while a living record looks up at it through a field that restricts deletes."""
    for child, lookup in _restricting(batch.org.schema, batch.obj):
        if child.name not in batch.org.tables:
            continue
        rows = batch.org.table(child).where_in(lookup["name"], batch.after["Id"]).filter(pl.col("IsDeleted") == "false")
        if rows.height:
            _refuse(batch, child, rows, lookup["name"])


def _restricting(schema: Schema, parent: SObject) -> Iterator[tuple[SObject, Mapping[str, Any]]]:
    told = {(c["childSObject"], c["field"]) for c in parent.child_relationships if c["restrictedDelete"]}
    for child, lookup in schema.children_of(parent.name):
        restricts = lookup["restrictedDelete"] or (child.name, lookup["name"]) in told
        if restricts and child.has_bin and not schema.cascades_from(child, lookup):
            yield child, lookup


def _refuse(batch: Batch, child: SObject, rows: pl.DataFrame, lookup: str) -> None:
    label = "Name" if "Name" in rows.columns else "Id"
    named = rows.group_by(lookup).agg(pl.col(label).head(SHOWN).str.join(", ").alias("$named"))
    found = batch.after.select("Id").join(named, left_on="Id", right_on=lookup, how="left", maintain_order="left")
    mine = batch.after["Name"] if "Name" in batch.after.columns else batch.after["Id"]
    text = pl.select(pl.concat_str(
        pl.lit("Your attempt to delete "), mine.fill_null(""),
        pl.lit(" could not be completed because it is associated with the following "
               f"{child.describe['labelPlural'].lower()}.: "),
        found["$named"].fill_null(""), pl.lit("\n"),
    )).to_series()  # fmt: skip
    batch.refuse(found["$named"].is_not_null(), "DELETE_FAILED", text)
