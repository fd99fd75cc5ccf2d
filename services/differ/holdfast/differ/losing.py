"""When a page, or an object's completion, fails for good: what is lost is given up, and all are told.

A page of records, deletions or a census takes its object with it for the run. A page of bodies is given up alone: it
is part of no manifest, and the extractor still has what it said."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

import structlog
from prometheus_client import Counter

from holdfast.common.contracts.differ import BodiesGivenUp, ObjectGivenUp
from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.failpoints import durable_step
from holdfast.common.leases import Lease
from holdfast.common.meta import Meta
from holdfast.common.outbox import enqueue
from holdfast.common.postgres import Database, Unit
from holdfast.differ import store
from holdfast.differ.store import Failing, Loss, ManifestRow, PageRow, TableKey

FAILURE_NOTED = durable_step("differ.failure_noted")
OBJECT_GIVEN_UP = durable_step("differ.object_given_up")
BODIES_GIVEN_UP = durable_step("differ.bodies_given_up")
GIVEN_UP = Counter("holdfast_given_up_total", "Objects, and pages of bodies, that were given up", ["what"])
# Kinds that time alone does not cure. Everything else is tried for as long as it takes.
PERMANENT = frozenset({Kind.DAMAGED, Kind.NOT_FOUND, Kind.INVALID, Kind.CONFLICT})
# A process that was down since the first failure must not give up at the second.
FEWEST_FAILURES = 3
log = structlog.get_logger(__name__)


class Losses:
    """Counts failures, and gives objects and pages of bodies up. Callers hold the table's lease.

    The count is kept in Postgres: a process that fails, dies and starts again comes to an end all the same.
    """

    def __init__(self, db: Database, give_up_after: timedelta) -> None:
        self._db, self._after = db, give_up_after

    async def page_failed(self, key: TableKey, lease: Lease, page: PageRow, error: HoldfastError) -> None:
        """Note that committing the page failed; give it up if it has for too long."""
        if error.kind not in PERMANENT:
            return
        row = await store.get_table(self._db, key)
        if row.pending_page is not None:
            # A commit that was begun is settled before any other: it is that one which failed.
            page = await store.get_page(self._db, row.pending_page)
        if not await self._exhausted(lambda unit: store.page_failed(unit, page.page_id)):
            return
        reason = (
            f"Page {page.seq} of {key.object} could not be added to the backup: {error.message} "
            f"It was staged as {page.path}."
        )
        meta = Meta(page.run_id, None, "service:differ")
        if page.mode == "bodies":
            await self._give_up_bodies(key, lease, page, reason, error.code)
            return
        await self._give_up(Loss(key, page.run_id, page.run, reason, error.code), lease, meta, page.page_id)

    async def manifest_failed(self, key: TableKey, lease: Lease, manifest: ManifestRow, error: HoldfastError) -> None:
        """Note that completing the object failed; give it up for the run if it has for too long."""
        if error.kind not in PERMANENT:
            return
        if not await self._exhausted(lambda unit: store.manifest_failed(unit, manifest.run_id, key.object)):
            return
        reason = f"{key.object} could not be confirmed to be whole in the backup: {error.message}"
        meta = Meta(manifest.correlation_id, None, "service:differ")
        await self._give_up(Loss(key, manifest.run_id, manifest.run, reason, error.code), lease, meta)

    async def _exhausted(self, note: Callable[[Unit], Awaitable[Failing | None]]) -> bool:
        failing = await self._db.run(FAILURE_NOTED, note)
        return failing is not None and failing.failures >= FEWEST_FAILURES and failing.failing_for >= self._after

    async def _give_up(self, loss: Loss, lease: Lease, meta: Meta, page_id: str | None = None) -> None:
        event = ObjectGivenUp(
            job_id=loss.key.job_id,
            run_id=loss.run_id,
            run=loss.run,
            object=loss.key.object,
            reason=loss.reason,
            code=loss.code,
        )

        async def work(unit: Unit) -> None:
            await lease.guard(unit)
            if page_id is not None:
                # Its number is free for others. Should the commit be in the table after all, it is adopted.
                await store.release_commit(unit, loss.key, page_id)
            if await store.add_loss(unit, loss):
                await enqueue(unit, event, meta)

        await self._db.run(OBJECT_GIVEN_UP, work)
        GIVEN_UP.labels("object").inc()
        log.warning("object_given_up", table=str(loss.key), run=loss.run, reason=loss.reason)

    async def _give_up_bodies(self, key: TableKey, lease: Lease, page: PageRow, reason: str, code: str) -> None:
        event = BodiesGivenUp(
            job_id=key.job_id,
            run_id=page.run_id,
            run=page.run,
            object=key.object,
            page_id=page.page_id,
            reason=reason,
            code=code,
        )

        async def work(unit: Unit) -> None:
            await lease.guard(unit)
            await store.release_commit(unit, key, page.page_id)
            if await store.give_up_page(unit, page.page_id, reason):
                await enqueue(unit, event, Meta(page.run_id, None, "service:differ"))

        await self._db.run(BODIES_GIVEN_UP, work)
        GIVEN_UP.labels("bodies").inc()
        log.warning("bodies_given_up", table=str(key), run=page.run, page_id=page.page_id, reason=reason)
