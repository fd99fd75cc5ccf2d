"""Contents of files: kept apart from the rows, which hold a reference and the size."""

from __future__ import annotations

import base64
import binascii

import polars as pl

from holdfast.orgsim.rules.batch import Batch
from holdfast.orgsim.store.blobs import size_of

MOST_BASE64_BYTES = 37_500_000  # in a request that is not multipart
SIZE_FIELDS = {"Attachment": "BodyLength", "Document": "BodyLength", "StaticResource": "BodyLength",
               "ContentVersion": "ContentSize", "EventLogFile": "LogFileLength"}  # fmt: skip


def keep_contents(batch: Batch) -> None:
    """Base64 becomes the reference of a kept content. Contents that came as multipart are kept already."""
    for name in sorted(batch.given):
        if batch.obj.fields[name]["type"] == "base64":
            _keep(batch, name)


def _keep(batch: Batch, name: str) -> None:
    values = batch.after[name].to_list()
    wrong, long, kept = [False] * len(values), [False] * len(values), list(values)
    for row, (value, given) in enumerate(zip(values, batch.gave(name).to_list(), strict=True)):
        if value is None or not given or batch.org.blobs.knows(value):
            continue
        if len(value) * 3 // 4 > MOST_BASE64_BYTES:
            long[row] = True
            continue
        try:
            kept[row] = batch.org.blobs.keep(base64.b64decode(value, validate=True))
        except (binascii.Error, ValueError):
            wrong[row] = True
    label = batch.obj.fields[name]["label"]
    text = f"{label}: value not of required type: base64"
    batch.refuse(pl.Series(wrong, dtype=pl.Boolean), "INVALID_TYPE_ON_FIELD_IN_RECORD", text, [name])
    text = f"{label}: data value too large (max length={MOST_BASE64_BYTES})"
    batch.refuse(pl.Series(long, dtype=pl.Boolean), "STRING_TOO_LONG", text, [name])
    batch.set(name, pl.Series(name, kept, dtype=pl.String))
    if batch.obj.name in SIZE_FIELDS:
        field = batch.obj.fields[SIZE_FIELDS[batch.obj.name]]
        point = ".0" if field["type"] == "double" else ""
        sizes = [None if v is None else f"{size_of(v)}{point}" for v in kept]
        batch.set(field["name"], pl.Series(sizes, dtype=pl.String), batch.gave(name))


def name_document(batch: Batch) -> None:
    """A document (of the Documents tab) gets its author and a name for developers."""
    if batch.obj.name == "Document" and batch.operation == "insert":
        plain = pl.col("Name").str.replace_all(r"[^A-Za-z0-9]+", "_").str.strip_chars("_")
        batch.set("DeveloperName", plain, pl.col("DeveloperName").is_null())
        batch.set("AuthorId", batch.user.id, pl.col("AuthorId").is_null())
