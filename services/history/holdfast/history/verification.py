"""Whether a job's vault still holds what was written: every file, chain entry and proof, read again."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from holdfast.common.objectstore import ObjectStore
from holdfast.common.rpc.differ.v1 import differ_pb2
from holdfast.history.store import TableHead
from holdfast.vault.chain import ChainHead
from holdfast.vault.location import table_key
from holdfast.vault.verify import Damage, Progress, Report, verify_table
from holdfast.vault.verify_proofs import ProofFiles, ProofReport, verify_proofs


@dataclass(frozen=True)
class Expected:
    """What two witnesses outside the bucket remember of a table."""

    object: str
    head: ChainHead | None
    damage: tuple[Damage, ...] = ()


@dataclass(frozen=True)
class Proofs:
    """Proofs of a job: those that were announced, by object and run, and the files that there are.

    What was announced has to be asked for first: its file was durable before.
    """

    told: Mapping[str, Mapping[int, Mapping[str, Any]]]
    kept: ProofFiles


@dataclass
class Verdict:
    """What a verification found, over all objects. `files` are those of the tables."""

    files: int = 0
    proofs: int = 0
    bytes: int = 0
    damage: list[Damage] = field(default_factory=list)


class _AbandonedError(Exception):
    """Nobody waits for the verdict any more."""


def compare_witnesses(job_id: str, kept: Sequence[differ_pb2.Table], told: Mapping[str, TableHead]) -> list[Expected]:
    """The newest head of each table that either witness knows, and where the two disagree.

    Args:
        job_id: The job.
        kept: What the differ's Postgres remembers.
        told: What history heard when it was announced.
    """
    tables = {table.object: table for table in kept}
    return [_expected(job_id, name, tables.get(name), told.get(name)) for name in sorted({*tables, *told})]


def _expected(job_id: str, name: str, kept: differ_pb2.Table | None, told: TableHead | None) -> Expected:
    path = table_key(job_id, name)
    if kept is None or not kept.chain_head:
        head = ChainHead(told.commit_seq, told.chain_head) if told else None
        gone = Damage(path, "the differ has forgotten a table whose commits it announced")
        return Expected(name, head, (gone,) if told else ())
    if told is None or told.version < kept.version:
        return Expected(name, ChainHead(kept.commit_seq, kept.chain_head))
    head = ChainHead(told.commit_seq, told.chain_head)
    if told.version > kept.version:
        reason = f"the differ remembers version {kept.version}, but version {told.version} was announced"
        return Expected(name, head, (Damage(path, reason),))
    if told.chain_head != kept.chain_head:
        reason = f"two chain heads are known for version {kept.version}: it was written twice"
        return Expected(name, head, (Damage(path, reason),))
    return Expected(name, head)


class Verification:
    """One pass over a job's tables. `verdict` is complete when `steps` has ended."""

    def __init__(self, store: ObjectStore, key: Ed25519PublicKey, job_id: str, proofs: Proofs) -> None:
        self._store = store
        self._proofs = proofs
        self._key = key
        self._job_id = job_id
        self.verdict = Verdict(damage=list(proofs.kept.strays))

    async def steps(self, tables: Sequence[Expected]) -> AsyncGenerator[tuple[str, Progress], None]:
        """Check table after table; yields how far each is, skipping steps that nobody came to see."""
        known = {table.object for table in tables}
        named = [Expected(name, None) for name in sorted({*self._proofs.told, *self._proofs.kept.runs} - known)]
        for table in (*tables, *named):
            async with aclosing(self._table(table)) as steps:
                async for progress in steps:
                    yield table.object, progress

    async def _table(self, table: Expected) -> AsyncGenerator[Progress, None]:
        moved, abandoned = asyncio.Event(), threading.Event()
        wake = asyncio.get_running_loop().call_soon_threadsafe
        newest: list[Progress] = []

        def note(progress: Progress) -> None:
            if abandoned.is_set():
                raise _AbandonedError
            newest[:] = [progress]
            wake(moved.set)

        check = asyncio.create_task(asyncio.to_thread(self._check, table, note))
        check.add_done_callback(lambda _: moved.set())
        try:
            while not check.done():
                await moved.wait()
                moved.clear()
                if newest:
                    yield newest[0]
        finally:
            abandoned.set()  # the thread ends after the file in hand, when the caller has gone
            await asyncio.gather(check, return_exceptions=True)
        yield self._take(table, check.result())

    def _check(self, table: Expected, note: Callable[[Progress], None]) -> tuple[Report, ProofReport]:
        runs, told = self._proofs.kept.runs.get(table.object, ()), self._proofs.told.get(table.object, {})
        report = verify_table(
            self._store,
            self._job_id,
            table.object,
            key=self._key,
            expected=table.head,
            progress=note,
            count=bool(runs),
        )
        proofs = verify_proofs(
            self._store, self._job_id, table.object, key=self._key, runs=runs, told=told, table=report
        )
        return report, proofs

    def _take(self, table: Expected, found: tuple[Report, ProofReport]) -> Progress:
        report, proofs = found
        self.verdict.files += report.files
        self.verdict.proofs += proofs.files
        self.verdict.bytes += report.bytes + proofs.bytes
        self.verdict.damage += [*table.damage, *report.damage, *proofs.damage]
        return Progress(report.files, report.files, report.bytes)
