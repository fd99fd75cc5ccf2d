"""From a fetched page to a durable, announced one.

Fetching, transforming and recording overlap, recording keeps the order. A page is announced in the unit that
records it, and only after its file is durable.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn
from uuid import UUID, uuid5

import polars as pl
import pyarrow as pa
import structlog

from holdfast.common.clock import Clock
from holdfast.common.contracts.extractor import PageStaged
from holdfast.common.errors import HoldfastError
from holdfast.common.objectstore import ObjectStore
from holdfast.common.outbox import enqueue
from holdfast.common.postgres import Database, Unit
from holdfast.extractor import store
from holdfast.extractor.files.queueing import FileQueue, PageFiles, files_of_page
from holdfast.extractor.reading import Elsewhere, Fetched, PageSource, lying_page
from holdfast.extractor.steps import PAGE_RECORDED, PAGE_STORED, SCHEMA_STORED
from holdfast.extractor.store import TaskClaim, sql
from holdfast.vault.canonical import canonical
from holdfast.vault.census import Sums, sums_of
from holdfast.vault.page import PageMeta, StagedPage, page_key, record_stamps, stamp_ms, write_page
from holdfast.vault.schema import RecordSchema, schema_key

log = structlog.get_logger(__name__)

# A page that arrives cut is fetched again at once; more than a few times is no accident.
PAGE_TRIES = 4


@dataclass(frozen=True)
class Staged:
    """A page whose file is durable. `page` is None for a page without rows: it has no file."""

    fetched: Fetched
    seq: int
    page_id: str
    key: str
    page: StagedPage | None
    files: PageFiles | None = None
    sums: Sums | None = None


def page_id_of(task_id: UUID, seq: int) -> str:
    """The id of a page; the same for every attempt at it."""
    return uuid5(task_id, str(seq)).hex


class Staging:
    """Stages pages of any number of objects at once, within shared bounds of memory and CPU."""

    def __init__(
        self,
        db: Database,
        objects: ObjectStore,
        clock: Clock,
        scratch: Path,
        *,
        transforms: int,
        pages_in_memory: int,
    ) -> None:
        self._db = db
        self._objects = objects
        self._clock = clock
        self._scratch = scratch
        self._cpu = asyncio.Semaphore(transforms)
        self._memory = asyncio.Semaphore(pages_in_memory)
        self._schemas: set[str] = set()
        self._files = FileQueue(db)

    def clean(self) -> None:
        """Drop what an earlier life left behind; call before anything is staged."""
        shutil.rmtree(self._scratch, ignore_errors=True)
        self._scratch.mkdir(parents=True)

    async def stage_all(self, claim: TaskClaim, source: PageSource) -> None:
        """Stage every page of a source, from the claim's position on.

        An error of the source is raised after the pages before it are durable.

        Raises:
            HoldfastError, Elsewhere: From the source; FENCED when the lease is lost.
        """
        pages: asyncio.Queue[asyncio.Task[Staged] | None] = asyncio.Queue(maxsize=1)
        broken: HoldfastError | Elsewhere | None = None
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._record_in_order(claim, pages))
                try:
                    await self._fetch_all(claim, source, pages, group)
                except (HoldfastError, Elsewhere) as error:
                    broken = error
                await pages.put(None)
        except BaseExceptionGroup as errors:
            raise _first(errors) from None
        finally:
            await source.close()
        if broken is not None:
            raise broken

    async def _fetch_all(
        self,
        claim: TaskClaim,
        source: PageSource,
        pages: asyncio.Queue[asyncio.Task[Staged] | None],
        group: asyncio.TaskGroup,
    ) -> None:
        seq = claim.next_seq
        while True:
            await self._memory.acquire()
            handed_on = False
            try:
                fetched = await source.next()
                if fetched is None:
                    return
                task = group.create_task(self._stage(claim, seq, fetched))
                task.add_done_callback(lambda _: self._memory.release())
                handed_on = True
            finally:
                if not handed_on:
                    self._memory.release()
            await pages.put(task)
            seq += 1 if fetched.rows else 0
            del fetched, task

    async def _stage(self, claim: TaskClaim, seq: int, fetched: Fetched) -> Staged:
        page_id = page_id_of(claim.task_id, seq)
        if not fetched.rows:
            return Staged(fetched, seq, page_id, "", None)
        meta = PageMeta(
            job_id=str(claim.run.job_id),
            object=claim.object,
            run=claim.run.number,
            seq=seq,
            page_id=page_id,
            mode=claim.page_mode,
            schema=claim.page_schema,
            observed_at=self._clock.now(),
        )
        page, sums, body = await self._written(claim, meta, fetched)
        fields = await self._files.fields(claim) if claim.part == "records" else ()
        files = await asyncio.to_thread(files_of_page, page.path, fields)
        key = page_key(meta, page.sha256)
        await self._schema_stored(meta)
        await self._objects.move_new(page.path, key, PAGE_STORED)
        page.path.unlink(missing_ok=True)
        # The page's bytes are let go of while its file waits to be recorded.
        kept = fetched._replace(parse=_spent, again=_spent, body=body)
        return Staged(kept, seq, page_id, key, page, files, sums)

    async def _written(self, claim: TaskClaim, meta: PageMeta, fetched: Fetched) -> tuple[StagedPage, Sums | None, str]:
        """Parse and write a page in a thread; one that is not whole is fetched again. Its `body` comes with it."""
        out = self._scratch / f"{meta.page_id}-{claim.epoch}.parquet"
        for tries_left in reversed(range(PAGE_TRIES)):
            try:
                async with self._cpu:
                    return *await asyncio.to_thread(_transform, fetched, meta, out), fetched.body
            except HoldfastError as error:
                if not error.transient or not tries_left:
                    raise
                log.warning("page_fetched_again", object=meta.object, seq=meta.seq, error=error.message)
            promised, fetched = fetched.rows, await fetched.again()
            if fetched.rows != promised:
                how = f"it was to hold {promised} rows first and {fetched.rows} when it was fetched again"
                raise lying_page("page-changed", how)
        raise AssertionError("unreachable: the last try raises")

    async def _schema_stored(self, meta: PageMeta) -> None:
        key = schema_key(meta.job_id, meta.schema.schema_id)
        if key not in self._schemas:
            await self._objects.put_new(key, meta.schema.to_json(), SCHEMA_STORED)
            self._schemas.add(key)

    async def _record_in_order(self, claim: TaskClaim, pages: asyncio.Queue[asyncio.Task[Staged] | None]) -> None:
        while (task := await pages.get()) is not None:
            staged = await task
            if staged.page is not None:
                await self._db.run(PAGE_RECORDED, _recording(claim, staged, staged.page, self._files))
            staged.fetched.settled()


def _transform(fetched: Fetched, meta: PageMeta, out: Path) -> tuple[StagedPage, Sums | None]:
    table = canonical(_as_asked(fetched.parse(), meta.schema), meta.schema, fetched.origin)
    return write_page(table, meta, out), _sums(table) if meta.mode == "census" else None


def _sums(table: pa.Table) -> Sums:
    return sums_of(pl.Series(pl.from_arrow(table.column("Id"))), stamp_ms(record_stamps(table)))


def _as_asked(table: pa.Table, schema: RecordSchema) -> pa.Table:
    """The columns as they were asked for: Salesforce answers in its own spelling, whatever the query's was."""
    if schema.names.issuperset(name for name in table.column_names if name != "Id"):
        return table
    asked = {field.name.lower(): field.name for field in schema.fields}
    return table.rename_columns([asked.get(name.lower(), name) for name in table.column_names])


def _spent() -> NoReturn:
    raise AssertionError("the page is already staged")


def _recording(
    claim: TaskClaim, staged: Staged, page: StagedPage, queue: FileQueue
) -> Callable[[Unit], Awaitable[None]]:
    """The unit that makes a page count: its row, the object's new position, its files, and the announcement."""
    fetched = staged.fetched

    async def work(unit: Unit) -> None:
        still_open, next_seq = await store.lock_task(unit, claim)
        if not still_open or next_seq > staged.seq:
            return  # the commit before this repeat was stored, though its answer was lost
        source = (fetched.bulk_job, fetched.locator, fetched.next_locator)
        size = (page.rows, page.bytes, page.sha256, staged.key)
        sums = (staged.sums.ids, staged.sums.stamps) if staged.sums else (None, None)
        await unit.execute(sql.add_page, claim.key, staged.seq, staged.page_id, *source, *size, *sums, fetched.body)
        # What was listed has not been read: it counts as no row, and its stamps move no mark.
        read = claim.part == "records"
        await unit.execute(
            sql.advance_task,
            claim.key,
            staged.seq,
            fetched.next_locator,
            fetched.last,
            page.rows if read else 0,
            page.bytes,
            page.max_modified_at if read else None,
            fetched.after.stamp if fetched.after else None,
            fetched.after.record_id if fetched.after else None,
            fetched.read_from if read else None,
        )
        await queue.queue(unit, claim, staged.files)
        await enqueue(unit, _announcement(claim, staged, page), claim.run.meta)

    return work


def _announcement(claim: TaskClaim, staged: Staged, page: StagedPage) -> PageStaged:
    return PageStaged(
        page_id=staged.page_id,
        run_id=claim.run.run_id,
        job_id=claim.run.job_id,
        run=claim.run.number,
        object=claim.object,
        mode=claim.page_mode,
        seq=staged.seq,
        path=staged.key,
        rows=page.rows,
        bytes=page.bytes,
        sha256=page.sha256,
        schema_id=claim.page_schema.schema_id,
    )


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error that ended a group: one of ours if there is one."""
    flat = [error for error in errors.exceptions if not isinstance(error, BaseExceptionGroup)]
    ours = [error for error in flat if isinstance(error, HoldfastError | Elsewhere)]
    return (ours or flat or [errors])[0]
