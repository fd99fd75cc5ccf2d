"""Rows that the platform keeps beside a record: field history, sharing, feed. Nobody can write them directly."""

from __future__ import annotations

import polars as pl

from holdfast.orgsim.rules.batch import Batch
from holdfast.orgsim.rules.following import fresh_rows
from holdfast.orgsim.schema import derived
from holdfast.orgsim.schema.objects import SObject

LONGEST_KEPT = 255  # history of a longer text tells that it changed, not what it was
DATA_TYPES = {"boolean": "Boolean", "currency": "Currency", "date": "DateOnly", "datetime": "DateTime",
              "double": "Double", "email": "Email", "int": "Integer", "percent": "Percent", "phone": "Phone",
              "picklist": "DynamicEnum", "multipicklist": "MultiEnum", "reference": "EntityId", "url": "Url",
              "textarea": "StringPlusClob", "encryptedstring": "EncryptedText"}  # fmt: skip


def field_history(batch: Batch) -> None:
    """A row for each creation and for each change of a tracked field."""
    traits = batch.obj.traits
    if not traits.history or batch.operation not in ("insert", "update"):
        return
    history = batch.org.schema.derive(batch.obj, derived.HISTORY)
    up = derived.parent_field(batch.obj.name, derived.HISTORY)
    if batch.operation == "insert":
        created = batch.after.select(pl.col("Id").alias(up), pl.lit("created").alias("Field"), _data_type("Text"))
        _insert(batch, history, created, "field history")
        return
    parts = [_changes(batch, name, up) for name in sorted(traits.tracked) if batch.changed(name).any()]
    if parts:
        _insert(batch, history, pl.concat(parts), "field history")


def _changes(batch: Batch, name: str, up: str) -> pl.DataFrame:
    field = batch.obj.fields[name]
    moved = batch.changed(name)
    kept = field["type"] != "encryptedstring" and (field["type"] != "textarea" or field["length"] <= LONGEST_KEPT)
    sides = {"OldValue": batch.was(name), "NewValue": batch.after[name]}
    values = [(s if kept else s.clear(len(s))).cast(pl.String).alias(side).filter(moved) for side, s in sides.items()]
    shown = name[:-2] if field["type"] == "reference" and name.endswith("Id") and not field["custom"] else name
    return batch.after.filter(moved).select(
        pl.col("Id").alias(up),
        pl.lit(shown).alias("Field"),
        _data_type(DATA_TYPES.get(field["type"], "Text")),
        *values,
    )


def _data_type(name: str) -> pl.Expr:
    return pl.lit(name).alias("DataType")


def owner_shares(batch: Batch) -> None:
    """The owner's Share row. A new owner takes its place and ends what the old one had shared by hand."""
    if not batch.obj.traits.shares or batch.operation not in ("insert", "update"):
        return
    moved = batch.changed("OwnerId")
    if not moved.any():
        return
    share = batch.org.schema.derive(batch.obj, derived.SHARE)
    up, level = derived.parent_field(batch.obj.name, derived.SHARE), derived.access_field(batch.obj.name)
    rows = batch.after.filter(moved)
    if batch.before is not None:
        ended = batch.org.table(share).where_in(up, rows["Id"]).filter(pl.col("RowCause").is_in(["Owner", "Manual"]))
        batch.org.transactions.save(share, "harddelete", ended, None, who=batch.user.id, api=batch.api,
                                    notes="owner changed")  # fmt: skip
    owned = rows.select(pl.col("Id").alias(up), pl.col("OwnerId").alias("UserOrGroupId"), pl.lit("All").alias(level),
                        pl.lit("Owner").alias("RowCause"))  # fmt: skip
    _insert(batch, share, owned, "owner's share")


def feed_items(batch: Batch) -> None:
    """An item for a record's creation and one for each save that changes a tracked field."""
    if not batch.obj.traits.feed or batch.operation not in ("insert", "update"):
        return
    feed = batch.org.schema.derive(batch.obj, derived.FEED)
    rows, kind = batch.after, "CreateRecordEvent"
    if batch.operation == "update":
        tracked = [batch.changed(name) for name in sorted(batch.obj.traits.tracked)]
        if not tracked:
            return
        rows, kind = rows.filter(pl.select(pl.any_horizontal(tracked)).to_series()), "TrackedChange"
    items = rows.select(pl.col("Id").alias("ParentId"), pl.lit(kind).alias("Type"), pl.lit("0").alias("CommentCount"),
                        pl.lit("0").alias("LikeCount"), pl.lit("false").alias("IsRichText"))  # fmt: skip
    _insert(batch, feed, items, "feed")


def _insert(batch: Batch, obj: SObject, rows: pl.DataFrame, note: str) -> None:
    if rows.height:
        batch.also(obj, "insert", None, fresh_rows(batch, obj, rows), note)
