"""Stops the Bulk jobs of cancelled runs in the org, so that it does not work on for nobody."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import structlog

from holdfast.common.errors import HoldfastError
from holdfast.common.postgres import Database, Record, Unit
from holdfast.extractor.org import Orgs
from holdfast.extractor.steps import ABORT_WRITTEN
from holdfast.extractor.store import sql

log = structlog.get_logger(__name__)

PAUSE = timedelta(seconds=30)
# A job that cannot be stopped costs the org little: it is dropped after seven days.
MOST_TRIES = 5


class Aborts:
    """A loop's work: one abandoned job at a time, until the org has stopped it."""

    def __init__(self, db: Database, orgs: Orgs) -> None:
        self._db = db
        self._orgs = orgs

    async def stop_one(self) -> bool:
        """Stop the next job that is due; False when there is none."""

        if not await self._db.fetchval(sql.some_job_is_due):
            return False

        async def take(unit: Unit) -> Record | None:
            return await unit.fetchrow(sql.next_abandoned_job, PAUSE)

        row = await self._db.run(ABORT_WRITTEN, take)
        if row is None:
            return False
        if await self._stopped(row["connection_id"], row["bulk_job"]) or row["tries"] >= MOST_TRIES:
            await self._db.run(ABORT_WRITTEN, lambda unit: unit.execute(sql.forget_abandoned_job, row["bulk_job"]))
        return True

    async def _stopped(self, connection_id: UUID, bulk_job: str) -> bool:
        """Whether nothing is left to try: stopped, or the org says that it is over already."""
        try:
            client = await self._orgs.client(connection_id)
            await client.abort_query_job(bulk_job)
        except HoldfastError as error:
            log.info("bulk_job_not_aborted", bulk_job=bulk_job, error=error.message)
            return not error.transient
        log.info("bulk_job_aborted", bulk_job=bulk_job)
        return True
