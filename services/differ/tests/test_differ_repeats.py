"""Pages, manifests and crashes against a real Postgres and a vault in a folder: what is said, and how often."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal
from uuid import UUID, uuid5

import pyarrow as pa
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from holdfast.common.clock import SystemClock
from holdfast.common.contracts.extractor import ObjectExtracted, PageStaged
from holdfast.common.contracts.manifest import manifest_hash
from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.failpoints import DurableStep, durable_step
from holdfast.common.folderstore import FolderStore
from holdfast.common.leases import Lease, Leases
from holdfast.common.postgres import Database
from holdfast.common.postgres_errors import RetryUnitError
from holdfast.differ import committing, store
from holdfast.differ.committing import Committer
from holdfast.differ.completing import Completer
from holdfast.differ.store import TableKey
from holdfast.differ.tables import Tables
from holdfast.vault.canonical import canonical
from holdfast.vault.location import VaultRoot
from holdfast.vault.page import PageMeta, page_key, write_page
from holdfast.vault.schema import FieldType, RecordSchema, schema_key

pytestmark = pytest.mark.integration
Mode = Literal["baseline", "incremental", "full"]
NOTED = durable_step("test.differ_noted")
KEY = TableKey(UUID(int=1), "Thing__c")
NAMES = {"Id": "id", "Name": "string", "SystemModstamp": "datetime", "IsDeleted": "boolean"}
SCHEMA = RecordSchema(KEY.object, tuple(FieldType(name, kind) for name, kind in NAMES.items()))


def run_id(run: int) -> UUID:
    return uuid5(UUID(int=2), str(run))


def records(*numbers: int, name: str = "a") -> list[Mapping[str, str]]:
    stamp = "2026-01-01T00:00:00.000Z"
    return [
        {"Id": f"a00Hn00000{number:05d}AAA", "Name": name, "SystemModstamp": stamp, "IsDeleted": "false"}
        for number in numbers
    ]


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
        self.completer = Completer(self.db, self.tables, FolderStore(self.folder / "vault"))

    async def stage(self, run: int, mode: Mode, rows: Sequence[Mapping[str, str]], seq: int = 1) -> None:
        table = pa.table({name: [row[name] for row in rows] for name in NAMES})
        meta = PageMeta(str(KEY.job_id), KEY.object, run, seq, f"page-{run}-{seq}", mode, SCHEMA, datetime.now(UTC))
        page = write_page(canonical(table, SCHEMA, "bulk"), meta, self.folder / "page.parquet")
        self.root.put_new(page_key(meta, page.sha256), page.path, NOTED)
        self.root.put_new(schema_key(meta.job_id, SCHEMA.schema_id), SCHEMA.to_json(), NOTED)
        event = PageStaged(
            page_id=meta.page_id,
            run_id=run_id(run),
            job_id=KEY.job_id,
            run=run,
            object=KEY.object,
            mode=mode,
            seq=seq,
            path=page_key(meta, page.sha256),
            rows=page.rows,
            bytes=page.bytes,
            sha256=page.sha256,
            schema_id=SCHEMA.schema_id,
        )
        await self.db.run(NOTED, lambda unit: store.add_page(unit, event))

    async def commit_all(self) -> None:
        for page in await store.staged_pages(self.db, KEY, 10):
            await self.committer.commit(KEY, self.lease, page)

    async def complete(self, run: int, mode: Mode, gaps: Sequence[str] = ()) -> dict[str, Any]:
        """Announce the manifest of what was staged; what `object.diffed` then says."""
        pages = await store.pages_of_object(self.db, run_id(run), KEY.object)
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
            watermark=None,
            gaps=list(gaps),
        )
        await self.db.run(NOTED, lambda unit: store.add_manifest(unit, event, UUID(int=3)))
        for manifest in await store.complete_manifests(self.db, KEY):
            await self.completer.complete(KEY, self.lease, manifest)
        return (await self.said("object.diffed"))[-1]

    async def said(self, kind: str) -> list[dict[str, Any]]:
        rows = await self.db.fetch("SELECT headers, payload FROM outbox ORDER BY id")
        return [json.loads(bytes(row["payload"])) for row in rows if kind in json.loads(row["headers"])["ce_type"]]


@pytest.fixture
async def differ(postgres_dsn: str, tmp_path: Path) -> AsyncIterator[Differ]:
    db = await Database.open(postgres_dsn, "differ")
    await db.migrate("holdfast.differ")
    lease = await Leases(db, SystemClock(), "test").acquire(f"table/{KEY}", timedelta(seconds=60))
    assert lease is not None
    yield Differ(db, tmp_path, lease)
    await lease.release()
    await db.close()


class LosesFirstAnswer(DurableStep):
    """A commit that is stored and whose answer gets lost, once."""

    def after(self) -> None:
        if not _lost:
            _lost.append(True)
            raise RetryUnitError(Kind.UNAVAILABLE, "The database is not reachable right now.")


_lost: list[bool] = []


async def test_a_commit_whose_answer_is_lost_is_announced_once(differ: Differ, monkeypatch: pytest.MonkeyPatch) -> None:
    _lost.clear()
    monkeypatch.setattr(committing, "COMMIT_RECORDED", LosesFirstAnswer(committing.COMMIT_RECORDED.name))
    await differ.stage(1, "baseline", records(1, 2))
    await differ.commit_all()
    assert _lost
    assert [event["counts"]["captured"] for event in await differ.said("changes.committed")] == [2]


async def test_records_that_a_repeated_baseline_does_not_return_are_unseen(differ: Differ) -> None:
    await differ.stage(1, "baseline", records(1, 2, 3))  # the object failed after this page
    await differ.commit_all()
    await differ.stage(2, "baseline", records(1, 2))
    await differ.commit_all()
    diffed = await differ.complete(2, "baseline")
    assert diffed["counts"]["unseen"] == 1
    assert len(diffed["gaps"]) == 1


async def test_an_empty_repeated_baseline_says_what_it_did_not_return(differ: Differ) -> None:
    await differ.stage(1, "baseline", records(1, 2, 3))
    await differ.commit_all()
    assert (await differ.complete(2, "baseline"))["counts"]["unseen"] == 3


async def test_what_the_extractor_could_not_read_is_said_beside_what_was_not_returned(differ: Differ) -> None:
    await differ.stage(1, "baseline", records(1, 2, 3))
    await differ.commit_all()
    await differ.complete(1, "baseline")
    await differ.stage(2, "full", records(1, 2))
    await differ.commit_all()
    said = (await differ.complete(2, "full", ["The user can no longer read Fax of Thing__c."]))["gaps"]
    assert said[0] == "The user can no longer read Fax of Thing__c."
    assert "did not return 1 record" in said[1] and len(said) == 2


async def test_a_first_baseline_has_seen_all_it_holds(differ: Differ) -> None:
    await differ.stage(1, "baseline", records(1, 2))
    await differ.stage(1, "baseline", records(2, 3), seq=2)
    await differ.commit_all()
    diffed = await differ.complete(1, "baseline")
    assert (diffed["counts"]["captured"], diffed["counts"]["unseen"], diffed["gaps"]) == (3, 0, [])


@pytest.mark.parametrize("fault", ["rolled back", "gone"])
async def test_a_reading_without_changes_does_not_confirm_a_table_that_lost_commits(differ: Differ, fault: str) -> None:
    for run in (1, 2):
        await differ.stage(run, "incremental", records(run))
        await differ.commit_all()
    table = differ.root.path(f"{KEY.job_id}/records/{KEY.object}")
    assert table is not None
    if fault == "gone":
        shutil.rmtree(table)
    else:
        max((table / "_delta_log").glob("*.json")).unlink()
    differ.tables.forget(KEY)  # the service starts again
    with pytest.raises(HoldfastError) as caught:
        await differ.complete(3, "incremental")
    assert caught.value.kind is Kind.DAMAGED
    assert await differ.said("object.diffed") == []


class Died(BaseException):
    """The process ended here."""


class DiesBefore(DurableStep):
    def before(self) -> None:
        raise Died


class DiesAfter(DurableStep):
    def after(self) -> None:
        raise Died


@pytest.mark.parametrize(
    ("step", "dies"),
    [("NUMBER_RESERVED", DiesAfter), ("COMMIT_RECORDED", DiesBefore), ("COMMIT_RECORDED", DiesAfter)],
    ids=["reserved, not committed", "committed, not recorded", "recorded, not known"],
)
async def test_a_commit_that_was_begun_is_settled_once_before_any_other(
    differ: Differ, monkeypatch: pytest.MonkeyPatch, step: str, dies: type[DurableStep]
) -> None:
    await differ.stage(1, "baseline", records(1, 2))
    await differ.stage(2, "incremental", records(2, 3, name="b"))
    with monkeypatch.context() as patch, pytest.raises(Died):
        patch.setattr(committing, step, dies(getattr(committing, step).name))
        await differ.commit_all()

    differ.__post_init__()  # the service starts again, and is handed the later page first
    later = await store.get_page(differ.db, "page-2-1")
    await differ.committer.commit(KEY, differ.lease, later)
    assert [event["page_id"] for event in await differ.said("changes.committed")][:1] == ["page-1-1"]
    await differ.commit_all()

    said = await differ.said("changes.committed")
    assert [(event["page_id"], event["commit_seq"]) for event in said] == [("page-1-1", 1), ("page-2-1", 2)]
    assert (said[0]["counts"]["captured"], said[1]["counts"]["updated"]) == (2, 1)
    row = await store.get_table(differ.db, KEY)
    assert (row.commit_seq, row.pending_page, row.records) == (2, None, 3)
    assert row.chain_head == (await differ.tables.get(KEY, row)).head.head
    assert await store.staged_pages(differ.db, KEY, 10) == []
