"""Links between content documents and what they are shared with, and notes as the view of a document that they are."""

from __future__ import annotations

import polars as pl

from holdfast.orgsim.rules.batch import Batch

PEOPLE = ("005", "0F9", "00D")  # users, groups, the whole org


def share(batch: Batch) -> None:
    """A link needs its kind; the same file is linked to the same record once."""
    if batch.obj.name != "ContentDocumentLink" or batch.operation != "insert":
        return
    batch.set("ShareType", "V", pl.col("ShareType").is_null())
    people = pl.col("LinkedEntityId").str.slice(0, 3).is_in(PEOPLE)
    inferred = people & (pl.col("ShareType") == "I")
    message = "Invalid sharing type I"
    batch.refuse(inferred, "FIELD_INTEGRITY_EXCEPTION", message, ["ShareType"])
    batch.set("Visibility", "AllUsers", pl.col("Visibility").is_null())
    known = batch.org.table(batch.obj).where_in("ContentDocumentId", batch.after["ContentDocumentId"].unique())
    living = known.filter(pl.col("IsDeleted") == "false").select("ContentDocumentId", "LinkedEntityId", double=True)
    pairs = batch.after.select("ContentDocumentId", "LinkedEntityId")
    joined = pairs.join(living, on=["ContentDocumentId", "LinkedEntityId"], how="left", maintain_order="left")
    mask = joined["double"].fill_null(value=False) | pairs.select(~pl.struct(pl.all()).is_first_distinct()).to_series()
    sentence = pl.format(
        "Document with ID: {} is already linked with the entity with ID: {}", "ContentDocumentId", "LinkedEntityId"
    )
    batch.refuse(mask, "DUPLICATE_VALUE", sentence, ["LinkedEntityId"])


_OF_DOCUMENT = ("Title", "Description", "OwnerId", "SharingOption", "SharingPrivacy")


def follow_document(batch: Batch) -> None:
    """What is changed of a document is changed of its latest version, and its note goes where it goes."""
    if batch.obj.name != "ContentDocument":
        return
    if batch.operation == "update":
        _to_latest_version(batch)
    notes = batch.org.schema.objects["ContentNote"]
    mine = batch.org.table(notes).fetch(batch.after["Id"])
    if mine.height:
        same = [n for n in ("IsDeleted", "Title", "OwnerId", "SystemModstamp", "LastModifiedDate", "LastModifiedById")
                if n in batch.after.columns]  # fmt: skip
        keys = mine.select("Id").join(batch.after.select("Id", *same), on="Id", how="left", maintain_order="left")
        batch.also(notes, batch.operation, mine, mine.with_columns([keys[n] for n in same]), "note of a document")


def _to_latest_version(batch: Batch) -> None:
    changed = [name for name in _OF_DOCUMENT if batch.changed(name).any()]
    if not changed:
        return
    versions = batch.org.schema.objects["ContentVersion"]
    rows = batch.org.table(versions).fetch(batch.after["LatestPublishedVersionId"].drop_nulls())
    fresh = batch.after.select(pl.col("LatestPublishedVersionId").alias("Id"), *changed, "SystemModstamp")
    keys = rows.select("Id").join(fresh, on="Id", how="left", maintain_order="left")
    after = rows.with_columns([keys[name] for name in (*changed, "SystemModstamp")])
    batch.also(versions, "update", rows, after, "latest version of a document")


def follow_note_version(batch: Batch) -> None:
    """A version of type SNOTE is a note: one row under the document's id."""
    if batch.obj.name != "ContentVersion" or batch.operation not in ("insert", "update"):
        return
    snotes = batch.after.filter((pl.col("FileType") == "SNOTE") & (pl.col("IsLatest") == "true"))
    if not snotes.height:
        return
    notes = batch.org.schema.objects["ContentNote"]
    table = batch.org.table(notes)
    fresh = snotes.with_columns(
        pl.col("Id").alias("LatestPublishedVersionId"),
        pl.col("ContentDocumentId").alias("Id"),
        pl.col("VersionData").alias("Content"),
        pl.lit("false").alias("IsReadOnly"),
    )
    columns = [pl.col(n) if n in fresh.columns else pl.lit(None, dtype=pl.String).alias(n) for n in table.columns]
    before = table.fetch(fresh["Id"])
    known = fresh["Id"].is_in(before["Id"].implode())
    after = fresh.select(columns)
    if before.height:
        batch.also(notes, "update", before, after.filter(known), "note of a version")
    if before.height < after.height:
        batch.also(notes, "insert", None, after.filter(~known), "note of a version")
