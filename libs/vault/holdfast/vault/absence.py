"""A page of deletions that the writer of a table stages itself: records absent from a complete list of the living."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pyarrow as pa

from holdfast.common.failpoints import durable_step
from holdfast.vault.census import Listing, absent_keys
from holdfast.vault.location import VaultRoot
from holdfast.vault.page import PageMeta, StagedPage, page_key, write_page
from holdfast.vault.record_id import unpack_all
from holdfast.vault.schema import FieldType, RecordSchema, schema_key

ABSENCE_PUT = durable_step("vault.absence_put")
ABSENCE_SCHEMA_PUT = durable_step("vault.absence_schema_put")


@dataclass(frozen=True)
class Place:
    """Where in its run the page stands, and what it is called."""

    job_id: str
    object: str
    run: int
    seq: int
    page_id: str
    observed_at: datetime


@dataclass(frozen=True)
class Absence:
    """The page, durable; the same absence under the same place has the same bytes."""

    path: str
    page: StagedPage
    schema: RecordSchema


def stage_absence(root: VaultRoot, place: Place, listing: Listing) -> Absence:
    """Write a page of deletions for the records that are alive in the state and not listed.

    Its rows have no field but `Id` and no stamp: their events take the stamp of the state.
    """
    schema = RecordSchema(place.object, (FieldType("Id", "id"),))
    meta = PageMeta(
        place.job_id, place.object, place.run, place.seq, place.page_id, "deletions", schema, place.observed_at
    )
    ids = unpack_all(absent_keys(listing), listing.index.prefixes)
    with tempfile.TemporaryDirectory(prefix="holdfast-") as folder:
        out = Path(folder) / "absence.parquet"
        page = write_page(pa.table({"Id": ids.to_arrow().cast(pa.string())}), meta, out)
        root.put_new(schema_key(place.job_id, schema.schema_id), schema.to_json(), ABSENCE_SCHEMA_PUT)
        path = page_key(meta, page.sha256)
        root.put_new(path, out, ABSENCE_PUT)
    return Absence(path, page, schema)
