"""Pages of bodies: which record's field holds which stored files. `docs/formats/vault.md` §5."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from holdfast.common.errors import HoldfastError, Kind
from holdfast.vault.blobs import BlobRef
from holdfast.vault.columns import ATTACHED, TIMESTAMP, table_schema
from holdfast.vault.events import Events, name_of
from holdfast.vault.fingerprint import event_ids, fingerprints
from holdfast.vault.location import StoreLocation, VaultRoot
from holdfast.vault.page import PageMeta, StagedPage, constant, stamp_ms, write_events
from holdfast.vault.record_id import long_id
from holdfast.vault.schema import BODY, IMAGES, FieldType, RecordSchema

_IMAGES_SUFFIX = "__images"


def body_schema(object_name: str, field: str) -> RecordSchema:
    """The schema of a page of bodies of one field."""
    return RecordSchema(object_name, (FieldType("Id", "id"), FieldType(field, BODY)))


def images_schema(object_name: str, field: str) -> RecordSchema:
    """The schema of a page of images of one rich-text field."""
    return RecordSchema(object_name, (FieldType("Id", "id"), FieldType(images_field(field), IMAGES)))


def images_field(field: str) -> str:
    """The column for the images of a rich-text field: no API name holds two underscores but before its suffix."""
    return f"{field}{_IMAGES_SUFFIX}"


def write_bodies(
    record_ids: Sequence[str], stamps: Sequence[datetime | None], texts: Sequence[str], meta: PageMeta, out: Path
) -> StagedPage:
    """Write bodies that came in as an event file; CPU-bound.

    Args:
        record_ids: 18 characters each.
        stamps: The records' stamps when the bodies were asked for.
        texts: The cells: `BlobRef.text`, or one line `<reference id> <text>` per image.
        meta: `schema` is of `body_schema` or `images_schema`.
        out: A local file to write; the caller makes it durable.
    """
    (field,) = (f.name for f in meta.schema.stored)
    rows = len(record_ids)
    ids, cells = pa.array(record_ids, pa.string()), pa.array(texts, pa.string())
    at = pa.chunked_array([pa.array(stamps, TIMESTAMP)])
    prints = fingerprints(pa.table({field: cells}), [field])
    ops = pa.repeat(pa.scalar(ATTACHED), rows)
    columns = [
        event_ids(
            meta.table_name,
            record_ids=pl.Series(pl.from_arrow(ids)),
            run=meta.run,
            ops=pl.Series(pl.from_arrow(ops)),
            stamps_ms=stamp_ms(at),
            prints=prints,
        ),
        ids,
        ops,
        constant(meta.run, rows),
        constant(meta.seq, rows),
        pa.repeat(pa.scalar(meta.observed_at, TIMESTAMP), rows),
        at,
        prints.to_arrow(),
        pa.array([[field]] * rows, pa.list_(pa.string())),
        pa.nulls(rows, pa.string()),
        pa.repeat(pa.scalar(meta.schema.schema_id), rows),
        cells,
    ]
    written = write_events(pa.table(columns, schema=table_schema([field])), out)
    return StagedPage(out, rows, written.bytes, written.sha256, pc.max(at).as_py(), record_ids[-1] if rows else None)


def references(text: str) -> list[BlobRef]:
    """The bodies that a cell names: one, or those of a list of images."""
    return [BlobRef.of(line.rpartition(" ")[2]) for line in text.split("\n")]


def image_of(text: str, reference: str) -> BlobRef:
    """The image with a reference id (its first 15 characters count) in a cell of images.

    Raises:
        HoldfastError: NOT_FOUND.
    """
    for line in text.split("\n"):
        name, _, body = line.partition(" ")
        if name[:15] == reference[:15]:
            return BlobRef.of(body)
    raise HoldfastError(Kind.NOT_FOUND, "No such image is in the backup.", code="file-not-backed-up", detail=reference)


def body_at(
    store: StoreLocation | VaultRoot, job_id: str, object_name: str, record_id: str, field: str, run: int | None = None
) -> tuple[str, datetime | None]:
    """The newest cell of a file field of one record, and the record's stamp that it belongs to.

    Args:
        field: API name; for images of a rich text `images_field`.
        run: The run; runs after it are not seen.

    Raises:
        HoldfastError: NOT_FOUND if no body of it is stored; INVALID for a malformed id; DAMAGED.
    """
    with Events(VaultRoot.of(store), job_id, object_name, run) as events:
        observed = {f.name.lower(): f.name for s in events.schemas.values() if s.of_bodies for f in s.stored}
        name = observed.get(field.lower())
        found = events.table(_newest_body(name), {"id": long_id(record_id), "op": ATTACHED}) if name else None
    if found is None or not found.num_rows:
        message = f"No file of {object_name} {record_id}, field {field}, is in the backup."
        raise HoldfastError(Kind.NOT_FOUND, message, code="file-not-backed-up")
    return found.column(0)[0].as_py(), found.column(1)[0].as_py()


def _newest_body(field: str) -> str:
    cell = name_of(field)
    return (
        f"SELECT {cell}, _modified_at FROM events WHERE _record_id = $id AND _op = $op AND {cell} IS NOT NULL "  # noqa: S608
        "ORDER BY _modified_at DESC NULLS LAST, _run DESC, _seq DESC LIMIT 1"
    )
