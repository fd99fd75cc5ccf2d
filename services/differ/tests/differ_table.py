"""A vault table under its lease, and a hand that stages pages as the extractor does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import polars as pl
import pyarrow as pa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from holdfast.common.clock import ManualClock, SystemClock
from holdfast.common.contracts.extractor import Census, Mode, ObjectExtracted, PageMode, PageStaged
from holdfast.common.contracts.manifest import manifest_hash
from holdfast.common.failpoints import durable_step
from holdfast.common.folderstore import FolderStore
from holdfast.common.leases import Lease
from holdfast.common.postgres import Database
from holdfast.common.wakeup import Signal
from holdfast.differ import store
from holdfast.differ.committing import Committer
from holdfast.differ.completing import Completer
from holdfast.differ.feeding import Feeder
from holdfast.differ.losing import Losses
from holdfast.differ.proving import MassRule
from holdfast.differ.store import TableKey
from holdfast.differ.tables import Tables
from holdfast.differ.upkeep import Upkeep
from holdfast.differ.worker import Worker
from holdfast.vault.bodies import body_schema, write_bodies
from holdfast.vault.canonical import canonical
from holdfast.vault.census import sums_of
from holdfast.vault.compaction import Policy
from holdfast.vault.location import VaultRoot
from holdfast.vault.page import PageMeta, StagedPage, page_key, write_page
from holdfast.vault.record_id import long_id
from holdfast.vault.schema import FieldType, RecordSchema, schema_key

NOTED = durable_step("test.differ_noted")
KEY = TableKey(UUID(int=1), "Thing__c")
NAMES = {"Id": "id", "Name": "string", "SystemModstamp": "datetime", "IsDeleted": "boolean"}
SCHEMA = RecordSchema(KEY.object, tuple(FieldType(name, kind) for name, kind in NAMES.items()))


def run_id(run: int) -> UUID:
    return uuid5(UUID(int=2), str(run))


def records(*numbers: int, name: str = "a") -> list[Mapping[str, str]]:
    stamp = "2026-01-01T00:00:00.000Z"
    return [
        {"Id": long_id(f"a00Hn00000{number:05d}"), "Name": name, "SystemModstamp": stamp, "IsDeleted": "false"}
        for number in numbers
    ]


def census(rows: Sequence[Mapping[str, str]]) -> Census:
    """What a list of these records adds up to."""
    stamps = [int(datetime.fromisoformat(row["SystemModstamp"]).timestamp() * 1000) for row in rows]
    sums = sums_of(pl.Series([row["Id"] for row in rows], dtype=pl.String), pl.Series(stamps, dtype=pl.Int64))
    return Census(records=sums.records, ids=sums.ids, stamps=sums.stamps)


AT_ONCE = timedelta(0)


class _NoFeed(Feeder):
    def __init__(self) -> None:
        """Nothing is needed."""

    async def feed(self, key: TableKey, lease: Lease) -> None:
        """Nobody listens."""


@dataclass
class Differ:
    """The parts that commit and complete, and a hand that stages pages as the extractor does."""

    db: Database
    folder: Path
    lease: Lease

    def __post_init__(self) -> None:
        self.root = VaultRoot.local(self.folder / "vault")
        self.tables = Tables(self.root, Ed25519PrivateKey.from_private_bytes(b"k" * 32), keep=4)
        self.committer = Committer(self.db, self.tables, asyncio.Semaphore(1))
        self.completer = Completer(
            self.db, self.tables, FolderStore(self.folder / "vault"), SystemClock(), MassRule(), 3
        )
        self.clock = ManualClock(datetime.now(UTC))
        self.upkeep = Upkeep(
            self.db,
            self.tables,
            asyncio.Semaphore(1),
            self.clock,
            policy=Policy(fewest=4),
            grace=timedelta(days=7),
            check_every=timedelta(days=30),
        )

    async def stage(self, run: int, mode: PageMode, rows: Sequence[Mapping[str, str]], seq: int = 1) -> None:
        table = pa.table({name: [row[name] for row in rows] for name in NAMES})
        meta = PageMeta(str(KEY.job_id), KEY.object, run, seq, f"page-{run}-{seq}", mode, SCHEMA, datetime.now(UTC))
        await self._announce(meta, write_page(canonical(table, SCHEMA, "bulk"), meta, self.folder / "page.parquet"))

    async def stage_bodies(self, run: int, seq: int, texts: Mapping[int, str]) -> None:
        """Say that the records, by number, hold these files."""
        schema, page_id = body_schema(KEY.object, "Body"), f"page-{run}-{seq}"
        meta = PageMeta(str(KEY.job_id), KEY.object, run, seq, page_id, "bodies", schema, datetime.now(UTC))
        ids = [record["Id"] for record in records(*texts)]
        at = [datetime(2026, 1, 1, tzinfo=UTC)] * len(ids)
        await self._announce(meta, write_bodies(ids, at, list(texts.values()), meta, self.folder / "page.parquet"))

    async def _announce(self, meta: PageMeta, page: StagedPage) -> None:
        schema = meta.schema
        self.root.put_new(page_key(meta, page.sha256), page.path, NOTED)
        self.root.put_new(schema_key(meta.job_id, schema.schema_id), schema.to_json(), NOTED)
        event = PageStaged(
            page_id=meta.page_id,
            run_id=run_id(meta.run),
            job_id=KEY.job_id,
            run=meta.run,
            object=KEY.object,
            mode=meta.mode,
            seq=meta.seq,
            path=page_key(meta, page.sha256),
            rows=page.rows,
            bytes=page.bytes,
            sha256=page.sha256,
            schema_id=schema.schema_id,
        )
        await self.db.run(NOTED, lambda unit: store.add_page(unit, event))

    async def commit_all(self) -> None:
        while pages := await store.staged_pages(self.db, KEY, 10):
            while pages:
                pages = pages[await self.committer.commit(KEY, self.lease, pages) :]

    async def drain(self, give_up_after: timedelta = AT_ONCE) -> None:
        """What the worker does with the table when it has its turn, but for the record feed."""
        unused: Any = None
        worker = Worker(
            self.db,
            unused,
            Signal(),
            committer=self.committer,
            completer=self.completer,
            feeder=_NoFeed(),
            losses=Losses(self.db, give_up_after),
            upkeep=self.upkeep,
            tables=1,
            lease_ttl=timedelta(seconds=60),
        )
        await worker._drain(KEY, self.lease)

    async def settle(self) -> None:
        """Take turns until there is nothing to do: what one turn stages, the next one commits."""
        while KEY in await store.due_tables(self.db):
            await self.drain()
            if await self.db.fetchval("SELECT count(*) FROM manifest WHERE NOT diffed AND doubted < pass_number") == 0:
                return

    async def staged_file(self, run: int, seq: int) -> Path:
        """Where the page lies."""
        path = self.root.path((await store.get_page(self.db, f"page-{run}-{seq}")).path)
        assert path is not None
        return path

    async def extracted(self, run: int, mode: Mode, **said: Any) -> None:
        """Announce the manifest of what was staged; `said` is what else the event says."""
        pages = [page for page in await store.pages_of_object(self.db, run_id(run), KEY.object) if not page.own]
        event = ObjectExtracted(
            run_id=run_id(run),
            job_id=KEY.job_id,
            run=run,
            object=KEY.object,
            mode=mode,
            pages=len(pages),
            rows=sum(page.rows for page in pages),
            manifest=manifest_hash(pages),
            api_calls=1,
            **{"watermark": None, **said},
        )
        await self.db.run(NOTED, lambda unit: store.add_manifest(unit, event, UUID(int=3)))

    async def complete(self, run: int, mode: Mode, gaps: Sequence[str] = ()) -> dict[str, Any]:
        """Announce the manifest of what was staged; what `object.diffed` then says."""
        await self.extracted(run, mode, gaps=list(gaps))
        for manifest in await store.complete_manifests(self.db, KEY):
            await self.completer.complete(KEY, self.lease, manifest)
        return (await self.said("object.diffed"))[-1]

    async def said(self, kind: str) -> list[dict[str, Any]]:
        rows = await self.db.fetch("SELECT headers, payload FROM outbox ORDER BY id")
        return [json.loads(bytes(row["payload"])) for row in rows if kind in json.loads(row["headers"])["ce_type"]]
