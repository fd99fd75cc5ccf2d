"""A small vault, written page by page as extractor and differ do it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow as pa

from holdfast.common.failpoints import DurableStep
from holdfast.vault.blobs import BlobRef
from holdfast.vault.bodies import body_schema, images_schema, write_bodies
from holdfast.vault.canonical import canonical
from holdfast.vault.location import VaultRoot
from holdfast.vault.page import PageMeta, PageMode, page_key, write_page
from holdfast.vault.proofs import ProofFile, keep_proof
from holdfast.vault.record_id import long_id
from holdfast.vault.refs import Committed, StagedRef
from holdfast.vault.schema import FieldType, RecordSchema, schema_key
from holdfast.vault.signing import signing_key
from holdfast.vault.table import RecordTable

JOB = UUID("0a000000-0000-7000-8000-000000000001")
START = datetime(2026, 1, 1, tzinfo=UTC)
SECRET = bytes(32)
FIELDS = {
    "Id": "id",
    "SystemModstamp": "datetime",
    "IsDeleted": "boolean",
    "Name": "string",
    "Email": "email",
    "Phone": "phone",
}


def contact_id(number: int) -> str:
    return long_id(f"003Hn00000{number:05d}")


def contact(number: int, second: int, *, deleted: bool = False, **values: str) -> dict[str, str | None]:
    at = (START + timedelta(seconds=second)).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    return {"Id": contact_id(number), "SystemModstamp": at, "IsDeleted": str(deleted).lower(), **values}


@dataclass
class Vault:
    """Writes pages and commits them, as extractor and differ do."""

    folder: Path
    scratch: Path

    def write(
        self, run: int, mode: PageMode, records: Sequence[dict[str, str | None]], name: str = "Contact"
    ) -> Committed:
        root = VaultRoot.local(self.folder)
        schema = RecordSchema(name, tuple(FieldType(field, kind) for field, kind in FIELDS.items()))
        meta = PageMeta(str(JOB), name, run, 0, f"page-{run}", mode, schema, START)
        rows = pa.table({each: pa.array([r.get(each) for r in records], pa.string()) for each in FIELDS})
        out = self.scratch / f"{name}-{run}.parquet"
        page = write_page(canonical(rows, schema, "rest"), meta, out)
        key = page_key(meta, page.sha256)
        root.put_new(key, out, DurableStep("test.page"))
        root.put_new(schema_key(str(JOB), schema.schema_id), schema.to_json(), DurableStep("test.schema"))
        ref = StagedRef(key, meta.page_id, run, 0, page.rows, page.sha256, mode, schema)
        table = RecordTable.open_or_create(root, str(JOB), name, signing_key(SECRET))
        return table.commit(table.apply([ref]), table.head.commit_seq + 1, table.head)

    def prove(self, run: int, held: Committed, proof: Mapping[str, Any], name: str = "Contact") -> None:
        """A proof of what the table was after a commit."""
        at = START.isoformat()
        file = ProofFile(str(JOB), name, run, held.version, held.chain_head.head, "differ", at, proof)
        keep_proof(VaultRoot.local(self.folder), file, signing_key(SECRET))

    def attach(self, run: int, record_id: str, content: bytes, name: str = "Contact", image: str = "") -> Committed:
        """A body that came in for the field `Photo` of a record, or for an image of the text `Photo`."""
        root, schema = VaultRoot.local(self.folder), (images_schema if image else body_schema)(name, "Photo")
        blob = BlobRef(hashlib.sha256(content).hexdigest(), len(content))
        root.put_new(blob.key(str(JOB)), content, DurableStep("test.blob"))
        meta = PageMeta(str(JOB), name, run, 1_000_000, f"bodies-{run}", "bodies", schema, START)
        text = f"{image} {blob.text}" if image else blob.text
        page = write_bodies([record_id], [START], [text], meta, self.scratch / f"{name}-{run}.bodies")
        key = page_key(meta, page.sha256)
        root.put_new(key, page.path, DurableStep("test.page"))
        root.put_new(schema_key(str(JOB), schema.schema_id), schema.to_json(), DurableStep("test.schema"))
        ref = StagedRef(key, meta.page_id, run, meta.seq, 1, page.sha256, "bodies", schema)
        table = RecordTable.open_or_create(root, str(JOB), name, signing_key(SECRET))
        return table.commit(table.apply([ref]), table.head.commit_seq + 1, table.head)
