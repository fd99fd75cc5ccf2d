"""What the platform makes of a content version: a document, brought up to date with it, and its first links."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath

import polars as pl

from holdfast.orgsim.clock import stamp
from holdfast.orgsim.org import Org
from holdfast.orgsim.rules.batch import Batch
from holdfast.orgsim.schema.objects import SObject
from holdfast.orgsim.store.blobs import size_of

# Types that the platform names otherwise than the extension in capitals.
FILE_TYPES = {"txt": "TEXT", "jpeg": "JPG", "doc": "WORD", "docx": "WORD_X", "xls": "EXCEL", "xlsx": "EXCEL_X",
              "ppt": "POWER_POINT", "pptx": "POWER_POINT_X", "htm": "HTML", "tif": "TIFF", "mpg": "MPEG",
              "": "UNKNOWN"}  # fmt: skip
KNOWN_TYPES = frozenset({"AAC", "AI", "AVI", "BMP", "CSV", "EML", "EPS", "EXE", "FLV", "GIF", "GZIP", "HTML", "JPG",
                         "JS", "KEY", "M4A", "M4V", "MOV", "MP3", "MP4", "MPEG", "NUMBERS", "ODP", "ODS", "ODT",
                         "PAGES", "PDF", "PNG", "PSD", "RTF", "SNOTE", "SVG", "SWF", "SQL", "TIFF", "VISIO", "WAV",
                         "WEBVIEW", "WMV", "XML", "ZIP"})  # fmt: skip


def version_of_document(batch: Batch) -> None:
    """A content version's derived values; a first version gets a new document, a further one joins its document."""
    if batch.obj.name != "ContentVersion":
        return
    if batch.operation == "update":
        _update_version(batch)
        return
    _named(batch)
    rows = [_derived(batch.org, row) for row in batch.after.iter_rows(named=True)]
    derived = {name: pl.Series(name, [row[name] for row in rows], dtype=pl.String) for name in rows[0]} if rows else {}
    batch.after = batch.after.with_columns(list(derived.values()))
    _join_documents(batch)


def _named(batch: Batch) -> None:
    """A version needs a path and a title; either gives the other one."""
    path, title = pl.col("PathOnClient"), pl.col("Title")
    batch.set("Title", path.str.split("/").list.last().str.replace(r"\.[^.]*$", ""), title.is_null())
    links = pl.col("ContentUrl").is_not_null()
    batch.refuse(pl.col("VersionData").is_null() & ~links, "REQUIRED_FIELD_MISSING",
                 "Required fields are missing: [VersionData]", ["VersionData"])  # fmt: skip
    batch.refuse(path.is_null() & ~links, "REQUIRED_FIELD_MISSING",
                 "Required fields are missing: [PathOnClient]", ["PathOnClient"])  # fmt: skip


def _derived(org: Org, row: Mapping[str, str | None]) -> dict[str, str | None]:
    content = row["VersionData"]
    extension = PurePosixPath((row["PathOnClient"] or "").replace("\\", "/")).suffix[1:].lower()
    now = stamp(org.clock.now())
    return {
        "Checksum": org.blobs.md5(content) if content and org.blobs.knows(content) else None,
        "ContentSize": str(size_of(content or "")),
        "FileExtension": extension or None,
        "FileType": "LINK" if row["ContentUrl"] else file_type(extension),
        "VersionNumber": "1",
        "IsLatest": "true",
        "PublishStatus": "R",
        "ContentLocation": row["ContentLocation"] or "S",
        "Origin": row["Origin"] or "C",
        "SharingOption": row["SharingOption"] or "A",
        "SharingPrivacy": row["SharingPrivacy"] or "N",
        "FirstPublishLocationId": row["FirstPublishLocationId"] or row["OwnerId"],
        "ContentModifiedById": row["CreatedById"],
        "ContentModifiedDate": row["ContentModifiedDate"] or now,
        "VersionDataUrl": f"{org.instance_url}/sfc/servlet.shepherd/version/download/{row['Id']}",
    }


def file_type(extension: str) -> str:
    """How the platform names the type of a file with this extension."""
    name = FILE_TYPES.get(extension, extension.upper())
    return name if name in KNOWN_TYPES or name in FILE_TYPES.values() else "UNKNOWN"


def _join_documents(batch: Batch) -> None:
    """The documents that versions name must live; a version that names none gets a new one's id."""
    documents = batch.org.schema.objects["ContentDocument"]
    asked = batch.after["ContentDocumentId"]
    known = batch.org.table(documents).fetch(asked.drop_nulls().unique())
    alive = known.filter(pl.col("IsDeleted") == "false")["Id"]
    batch.refuse(asked.is_not_null() & ~asked.is_in(alive.implode()), "INVALID_CROSS_REFERENCE_KEY",
                 "invalid cross reference id")  # fmt: skip
    fresh = iter(batch.org.new_ids(documents, asked.null_count()))
    batch.set("ContentDocumentId", pl.Series([i or next(fresh) for i in asked.to_list()], dtype=pl.String))


def number_versions(batch: Batch) -> None:
    """Number new versions, several of one document within a batch included; the last is the latest.

    Comes after every rule that refuses rows, so that no number goes to a version that is not saved.
    """
    if batch.obj.name != "ContentVersion" or batch.operation != "insert":
        return
    documents = batch.after["ContentDocumentId"].to_list()
    counts = _version_counts(batch, batch.after["ContentDocumentId"].unique())
    standing = batch.standing().to_list()
    last = {document: row for row, document in enumerate(documents) if standing[row]}
    numbers = []
    for row, document in enumerate(documents):
        counts[document] = counts.get(document, 0) + standing[row]
        numbers.append(str(counts[document]))
    latest = ["true" if last.get(document) == row else "false" for row, document in enumerate(documents)]
    batch.set("VersionNumber", pl.Series(numbers, dtype=pl.String))
    batch.set("IsLatest", pl.Series(latest, dtype=pl.String))


def _version_counts(batch: Batch, documents: pl.Series) -> dict[str, int]:
    rows = batch.org.table(batch.obj).where_in("ContentDocumentId", documents)
    counted = rows.group_by("ContentDocumentId").agg(pl.col("VersionNumber").cast(pl.Int64).max())
    return {document: number or 0 for document, number in counted.iter_rows()}


def _update_version(batch: Batch) -> None:
    """Only the latest version changes; a new content brings its checksum."""
    assert batch.before is not None
    batch.refuse(batch.before["IsLatest"] == "false", "FIELD_INTEGRITY_EXCEPTION",
                 "Only the latest version of a document can be changed")  # fmt: skip
    if "VersionData" in batch.given:
        kept = [batch.org.blobs.md5(i) if i and batch.org.blobs.knows(i) else None for i in batch.after["VersionData"]]
        batch.set("Checksum", pl.Series(kept, dtype=pl.String))


def follow_version(batch: Batch) -> None:
    """After a save of versions: documents made or brought up to date, older versions no longer the latest, links."""
    if batch.obj.name != "ContentVersion" or batch.operation not in ("insert", "update"):
        return
    latest = batch.after.filter(pl.col("IsLatest") == "true")
    documents = batch.org.schema.objects["ContentDocument"]
    known = batch.org.table(documents).fetch(latest["ContentDocumentId"])
    first = latest.filter(~pl.col("ContentDocumentId").is_in(known["Id"].implode()))
    if first.height:
        batch.also(documents, "insert", None, _documents(batch, documents, first), "document of a first version")
        _link(batch, first)
    again = latest.filter(pl.col("ContentDocumentId").is_in(known["Id"].implode()))
    if again.height:
        before = batch.org.table(documents).fetch(again["ContentDocumentId"])
        batch.also(documents, "update", before, _brought_up(batch, before, again), "document of a new version")
    if batch.operation == "insert":
        _retire(batch)


_SYNCED = {"Title": "Title", "Description": "Description", "ContentSize": "ContentSize", "FileType": "FileType",
           "FileExtension": "FileExtension", "ContentModifiedDate": "ContentModifiedDate", "OwnerId": "OwnerId",
           "SharingOption": "SharingOption", "SharingPrivacy": "SharingPrivacy", "PublishStatus": "PublishStatus",
           "LatestPublishedVersionId": "Id", "SystemModstamp": "SystemModstamp",
           "LastModifiedDate": "LastModifiedDate", "LastModifiedById": "LastModifiedById"}  # fmt: skip


def _documents(batch: Batch, documents: SObject, versions: pl.DataFrame) -> pl.DataFrame:
    made = {"Id": "ContentDocumentId", "CreatedDate": "CreatedDate", "CreatedById": "CreatedById", **_SYNCED}
    fixed = {"IsDeleted": "false", "IsArchived": "false"}
    columns = []
    for name in batch.org.table(documents).columns:
        source = pl.col(made[name]) if name in made else pl.lit(fixed.get(name), dtype=pl.String)
        columns.append(source.alias(name))
    return versions.select(columns)


def _brought_up(batch: Batch, before: pl.DataFrame, versions: pl.DataFrame) -> pl.DataFrame:
    fresh = versions.select(pl.col("ContentDocumentId"), *[pl.col(s).alias(n) for n, s in _SYNCED.items()])
    keys = before.select(pl.col("Id").alias("ContentDocumentId"))
    joined = keys.join(fresh, on="ContentDocumentId", how="left", maintain_order="left")
    return before.with_columns([joined[name] for name in _SYNCED])


def _retire(batch: Batch) -> None:
    """Versions that are no longer the latest of their document. Their stamps stay."""
    documents = batch.after["ContentDocumentId"].unique()
    rows = batch.org.table(batch.obj).where_in("ContentDocumentId", documents)
    mine = batch.after["Id"].implode()
    rows = rows.filter((pl.col("IsLatest") == "true") & ~pl.col("Id").is_in(mine))
    if rows.height:
        batch.also(batch.obj, "update", rows, rows.with_columns(IsLatest=pl.lit("false")), "no longer the latest")


def _link(batch: Batch, versions: pl.DataFrame) -> None:
    """The links of new documents: to the owner, and to where the first version was published."""
    links = batch.org.schema.objects["ContentDocumentLink"]
    wanted = []
    for row in versions.iter_rows(named=True):
        wanted.append((row["ContentDocumentId"], row["OwnerId"], "I", "AllUsers"))
        if row["FirstPublishLocationId"] not in (None, row["OwnerId"]):
            wanted.append((row["ContentDocumentId"], row["FirstPublishLocationId"], "V", "AllUsers"))
    values = pl.DataFrame(
        wanted, schema=["ContentDocumentId", "LinkedEntityId", "ShareType", "Visibility"], orient="row"
    ).with_columns(
        pl.Series("Id", batch.org.new_ids(links, len(wanted))),
        IsDeleted=pl.lit("false"),
        SystemModstamp=pl.lit(stamp(batch.org.clock.now())),
    )
    columns = [pl.col(n) if n in values.columns else pl.lit(None, dtype=pl.String).alias(n)
               for n in batch.org.table(links).columns]  # fmt: skip
    batch.also(links, "insert", None, values.select(columns), "link of a new document")
