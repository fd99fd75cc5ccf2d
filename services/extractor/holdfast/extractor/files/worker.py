"""Fetches one leased file: download, check, blob, row. Or puts it off, or lists it as failed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import structlog

from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.objectstore import ObjectStore
from holdfast.common.postgres import Database, Unit
from holdfast.extractor.budget import spend_for
from holdfast.extractor.files.downloading import Body, Partial, Paused, download, fault_of
from holdfast.extractor.files.queueing import sql
from holdfast.extractor.files.rows import FileClaim, busy_connections, file_failures, lock_file
from holdfast.extractor.files.steps import BLOB_STORED, FILE_LEASED, FILE_SETTLED
from holdfast.extractor.org import Orgs, count_calls
from holdfast.extractor.patience import Patience
from holdfast.salesforce.errors import Retry, SalesforceError
from holdfast.vault.blobs import BlobRef

log = structlog.get_logger(__name__)

# So often a body may come otherwise than Salesforce states it before that is taken for the truth.
ODD_TRIES = 4
ORG_PAUSE = timedelta(minutes=1)
# Errors of ours that say something of this file only.
_OF_THE_FILE = frozenset({"file-too-large", "object-exists"})
_OUT_OF_REACH = frozenset(
    {"host-not-found", "certificate-refused", "connection-refused", "connect-timeout", "connect-failed"}
)
# What came was something else than the beginning of the file.
_NOT_THE_FILE = frozenset({"answer-not-data", "wrong-range"})
_DELETED = frozenset({"ENTITY_IS_DELETED", "NOT_FOUND"})


class FileWorker:
    """Works on files that wait."""

    def __init__(
        self,
        *,
        db: Database,
        orgs: Orgs,
        objects: ObjectStore,
        scratch: Path,
        patience: Patience,
        most_bytes: int,
        settled: Callable[[], None],
    ) -> None:
        """Make a worker.

        Args:
            scratch: A folder of its own, emptied by `clean`.
            most_bytes: Larger bodies are listed as failed.
            settled: Called when a file is stored or given up.
        """
        self._db, self._orgs, self._objects = db, orgs, objects
        self._scratch, self._patience, self._most_bytes = scratch, patience, most_bytes
        self._settled = settled
        self._kept: dict[UUID, Partial] = {}
        self._fetching = 0
        self._busy: frozenset[UUID] = frozenset()

    def clean(self) -> None:
        """Drop what an earlier life left behind; call before any file is fetched."""
        shutil.rmtree(self._scratch, ignore_errors=True)
        self._scratch.mkdir(parents=True)

    async def look(self) -> bool:
        """Learn whose records are being read; their downloads stop at the next piece."""
        if self._fetching:
            self._busy = await busy_connections(self._db)
        return False

    async def fetch(self, claim: FileClaim) -> None:
        """Fetch a file to its end, or put it off, or fail it."""
        counter = count_calls()
        spend_for(claim.run.job_id, claim.run.api_limit_percent, "files")
        # Whoever leases the file owns what is kept of it: a late worker goes on with another file on the disk.
        partial = self._kept.pop(claim.key, None) or Partial(self._scratch / f"{claim.key.hex}-{claim.epoch}")
        before, kept = partial.size, False
        self._fetching += 1
        try:
            kept = await self._outcome(claim, partial)
        finally:
            self._fetching -= 1
            if kept:
                self._kept[claim.key] = partial
            else:
                partial.path.unlink(missing_ok=True)
        await self._use(claim, counter.calls, max(0, partial.size - before))
        await self._orgs.ledger.report()

    async def _outcome(self, claim: FileClaim, partial: Partial) -> bool:
        """Fetch a file, and settle what becomes of it; whether its beginning is still of use."""
        try:
            client = await self._orgs.client(claim.run.connection_id)
            paused = lambda: claim.run.connection_id in self._busy  # noqa: E731 - asked between pieces
            await download(client, claim, partial, most_bytes=self._most_bytes, paused=paused)
            await self._check(claim, partial.body())
        except Paused:
            await self._put_off(claim, None)
            return True
        except HoldfastError as error:
            return await self._settle(claim, error)
        except Exception as error:
            log.exception("file_broke", object=claim.object, record=claim.record_id, field=claim.field)
            broken = HoldfastError(Kind.INTERNAL, f"Fetching failed inside Holdfast: {type(error).__name__}.")
            await self._settle(claim, broken)
        return False

    async def _check(self, claim: FileClaim, body: Body) -> None:
        fault = fault_of(claim, body)
        failures = await file_failures(self._db, claim) if fault else None
        if failures is None:
            await self._store(claim, body, "", "")
        elif failures.count + 1 < ODD_TRIES:
            pause = self._patience.first * float(2**failures.count)
            log.warning("file_not_as_stated", object=claim.object, record=claim.record_id, fault=fault)
            await self._put_off(claim, pause, body.sha256)
        elif claim.stated_md5 or claim.odd_sha256 != body.sha256:
            await self._fail(claim, f"{fault} It was asked for {ODD_TRIES} times.", "not-as-stated")
        else:
            # The same bytes again and again, without a checksum that speaks against them: this is what the org has.
            await self._store(claim, body, f"{fault} The same came {ODD_TRIES} times, and was kept.", "size-differs")

    async def _store(self, claim: FileClaim, body: Body, reason: str, code: str) -> None:
        ref = BlobRef(body.sha256, body.bytes)
        body.path.touch()  # a body without bytes has no file yet
        await self._objects.move_new(body.path, ref.key(str(claim.run.job_id)), BLOB_STORED)

        async def work(unit: Unit) -> None:
            if await lock_file(unit, claim):
                await unit.execute(sql.file_stored, claim.key, ref.sha256, ref.bytes, reason, code)
                unit.after_commit(self._settled)

        await self._db.run(FILE_SETTLED, work)

    async def _settle(self, claim: FileClaim, error: HoldfastError) -> bool:
        """Put a file off or list it as failed; whether its beginning is still of use."""
        if error.kind is Kind.FENCED:
            return False
        if _concerns_org(error):
            # None of the org's files is asked for until then, and this one did not fail.
            await self._leave_alone(claim, error.retry_after or ORG_PAUSE)
            await self._put_off(claim, None)
            return True
        pause = self._patience.pause(error, await file_failures(self._db, claim))
        if pause is None:
            await self._fail(claim, _sentence(error), error.code)
            return False
        log.warning("file_put_off", object=claim.object, record=claim.record_id, error=error.message)
        await self._put_off(claim, pause)
        return error.code not in _NOT_THE_FILE

    async def _put_off(self, claim: FileClaim, pause: timedelta | None, odd: str | None = None) -> None:
        """Give a file back; with a pause, as one that failed."""

        async def work(unit: Unit) -> None:
            if pause is None:
                await unit.execute(sql.release_file, claim.key, claim.epoch)
            else:
                await unit.execute(sql.postpone_file, claim.key, claim.epoch, pause, odd)

        await self._db.run(FILE_LEASED, work)

    async def _leave_alone(self, claim: FileClaim, pause: timedelta) -> None:
        async def work(unit: Unit) -> None:
            await unit.execute(sql.pause_source, claim.run.connection_id, pause)

        log.warning("files_wait", connection=str(claim.run.connection_id), for_s=pause.total_seconds())
        await self._db.run(FILE_LEASED, work)

    async def _fail(self, claim: FileClaim, reason: str, code: str) -> None:
        async def work(unit: Unit) -> None:
            if await lock_file(unit, claim):
                await unit.execute(sql.file_failed, claim.key, reason[:1000], code)
                unit.after_commit(self._settled)

        log.warning("file_failed", object=claim.object, record=claim.record_id, field=claim.field, reason=reason)
        await self._db.run(FILE_SETTLED, work)

    async def _use(self, claim: FileClaim, calls: int, size: int) -> None:
        async def work(unit: Unit) -> None:
            await unit.execute(sql.count_use, claim.run.connection_id, calls, size)

        await self._db.run(FILE_LEASED, work)


def _concerns_org(error: HoldfastError) -> bool:
    """Whether no other file of the org can be had either: a limit, refused credentials, an org out of reach."""
    if not isinstance(error, SalesforceError):
        return error.code not in _OF_THE_FILE and error.kind is not Kind.INTERNAL
    return error.kind is Kind.LIMIT or error.retry is Retry.REFRESH or error.code in _OUT_OF_REACH


def _sentence(error: HoldfastError) -> str:
    if getattr(error, "error_code", "") in _DELETED:
        return "The org no longer has the record, or its file; it was deleted before the file could be read."
    return error.message
