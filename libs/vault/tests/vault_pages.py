"""Stages pages as the extractor does; run as a program, it commits one or compacts (to be killed while at it)."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from holdfast.common.failpoints import DurableStep
from holdfast.vault.canonical import canonical
from holdfast.vault.compaction import Policy
from holdfast.vault.location import VaultRoot
from holdfast.vault.page import PageMeta, PageMode, page_key, write_page
from holdfast.vault.reading import state_at
from holdfast.vault.record_id import long_id
from holdfast.vault.refs import Committed, Counts, StagedRef
from holdfast.vault.schema import FieldType, RecordSchema, schema_key
from holdfast.vault.table import RecordTable

JOB, OBJECT = "0a000000-0000-7000-8000-000000000001", "Account"
KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
START = datetime(2026, 1, 1, tzinfo=UTC)
STEP = DurableStep("test.stage")
Record = dict[str, str | None]


def schema_of(*names: str, **types: str) -> RecordSchema:
    """The usual system fields, text fields by name, other fields by `name=type`."""
    system = {"Id": "id", "SystemModstamp": "datetime", "IsDeleted": "boolean"}
    fields = system | dict.fromkeys(names, "string") | types
    return RecordSchema(OBJECT, tuple(FieldType(name, kind) for name, kind in fields.items()))


def record_id(number: int) -> str:
    return long_id(f"001Hn00000{number:05d}")


def record(number: int, stamp: int, *, deleted: bool = False, **values: str | None) -> Record:
    """A record; `stamp` is in seconds after the start."""
    at = (START + timedelta(seconds=stamp)).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    return {"Id": record_id(number), "SystemModstamp": at, "IsDeleted": str(deleted).lower(), **values}


def rows_of(schema: RecordSchema, records: Sequence[Record]) -> pa.Table:
    names = [field.name for field in schema.fields]
    return pa.table({name: pa.array([r.get(name) for r in records], pa.string()) for name in names})


@dataclass
class Backup:
    root: VaultRoot
    scratch: Path

    @classmethod
    def in_folder(cls, folder: Path, scratch: Path) -> Backup:
        folder.mkdir(parents=True, exist_ok=True)
        return cls(VaultRoot.local(folder), scratch)

    def stage(
        self,
        records: Sequence[Record],
        schema: RecordSchema,
        *,
        run: int = 1,
        seq: int = 0,
        mode: PageMode = "incremental",
        page_id: str | None = None,
    ) -> StagedRef:
        name = page_id or f"page-{run}-{seq}"
        meta = PageMeta(JOB, OBJECT, run, seq, name, mode, schema, START)
        out = self.scratch / f"{name}.parquet"
        page = write_page(canonical(rows_of(schema, records), schema, "bulk"), meta, out)
        key = page_key(meta, page.sha256)
        self.root.put_new(key, out, STEP)
        self.root.put_new(schema_key(JOB, schema.schema_id), schema.to_json(), STEP)
        return StagedRef(key, name, run, seq, page.rows, page.sha256, mode, schema)

    def open(self) -> RecordTable:
        return RecordTable.open_or_create(self.root, JOB, OBJECT, KEY)

    def add(self, table: RecordTable, *refs: StagedRef) -> Committed:
        """Apply and commit pages under the next number."""
        return table.commit(table.apply(refs), table.head.commit_seq + 1, table.head)

    def state(self, run: int = 1_000) -> dict[str, Record]:
        """Every record by id, fields that are null left out."""
        rows = state_at(self.root, JOB, OBJECT, run).to_pylist()
        return {row["Id"]: {k: v for k, v in row.items() if v is not None and k[0] != "_"} for row in rows}


def swap_index(path: Path, data: bytes) -> Path:
    """Put other bytes in the place of a stored index, under the name that is right for them."""
    path.unlink()
    other = path.with_name(f"{path.name[:21]}-{hashlib.sha256(data).hexdigest()}.parquet")
    other.write_bytes(data)
    return other


def changed(counts: Counts) -> dict[str, int]:
    return counts.to_json()


def commit_second(root: VaultRoot, ref: StagedRef) -> Committed:
    """Commit a page under number 2, as a differ that starts does: ask, apply, commit."""
    table = RecordTable.open_or_create(root, JOB, OBJECT, KEY)
    return table.committed(2, [ref.page_id]) or table.commit(table.apply([ref]), 2)


EAGER = Policy(fewest=2, steps=(32 << 20,))
NOW_MS = 1_800_000_000_000


def compact_and_clear(root: VaultRoot) -> None:
    """Merge all that can be merged, then delete what was replaced."""
    table = RecordTable.open_or_create(root, JOB, OBJECT, KEY)
    while table.compact(EAGER, NOW_MS):
        pass
    table.delete_replaced(NOW_MS + 1)


def main(folder: str, page: str) -> None:
    if page == "compact":
        compact_and_clear(VaultRoot.local(Path(folder)))
        return
    body: dict[str, Any] = json.loads(page)
    body["schema"] = RecordSchema.from_json(body["schema"].encode())
    commit_second(VaultRoot.local(Path(folder)), StagedRef(**body))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
