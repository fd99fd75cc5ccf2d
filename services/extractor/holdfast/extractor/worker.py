"""Reads one leased object: picks up its durable position, stages what is left, hands it over to be closed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from functools import partial
from uuid import UUID

import structlog

from holdfast.common.clock import Clock
from holdfast.common.contracts.extractor import OrgCount
from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.postgres import Database
from holdfast.extractor import store
from holdfast.extractor.budget import Purpose, spend_as, spend_for
from holdfast.extractor.closing import Closer, Findings
from holdfast.extractor.counting import Counted
from holdfast.extractor.dispatch import Rest
from holdfast.extractor.moving import Mover
from holdfast.extractor.org import CallCounter, Orgs, count_calls
from holdfast.extractor.passes import begin_part, deletions, next_part, require_listable
from holdfast.extractor.patience import Patience
from holdfast.extractor.reading import MOST_BULK_JOBS, Elsewhere, PageSource, names_missing_field
from holdfast.extractor.settings import ExtractorSettings
from holdfast.extractor.sources import Sources
from holdfast.extractor.staging import Staging
from holdfast.extractor.store import TaskClaim
from holdfast.extractor.together import Together
from holdfast.salesforce.client import SalesforceClient

log = structlog.get_logger(__name__)


class Worker:
    """Works on objects that wait to be read."""

    def __init__(
        self,
        *,
        db: Database,
        orgs: Orgs,
        staging: Staging,
        closer: Closer,
        settings: ExtractorSettings,
        patience: Patience,
        sources: Sources,
        together: Together,
        clock: Clock,
    ) -> None:
        self._db = db
        self._orgs = orgs
        self._staging = staging
        self._closer = closer
        self._sources = sources
        self._together = together
        self._mover = Mover(db)
        self._settings = settings
        self._patience = patience
        self._clock = clock
        self._live: dict[UUID, CallCounter] = {}
        # Counts that came with a page which turned out to be the last one.
        self._counts: dict[UUID, OrgCount] = {}

    def live_calls(self, task_id: UUID) -> int:
        """Calls of an object being read here that are not in the database yet."""
        counter = self._live.get(task_id)
        return counter.calls if counter else 0

    async def read(self, claim: TaskClaim) -> Rest | None:
        """Read an object to its end, or put it off, or fail it.

        Returns:
            What closes it, if it was read: that waits for others, and needs none of what reading does.
        """
        counter = count_calls()
        purpose: Purpose = "census" if claim.purpose == "census" else "records"
        spend_for(claim.run.job_id, claim.run.api_limit_percent, purpose)
        self._live[claim.key] = counter
        closing: Rest | None = None
        try:
            async with self._settling(lambda: claim, counter):
                with self._together.reader(claim.run.connection_id):
                    claim = await self._read(claim)
                    while (part := next_part(claim)) is not None:
                        spend_as("census")
                        claim = await begin_part(self._db, claim, part, self._settings)
                        claim = await self._read(claim)
                closing = partial(self._close, claim, counter)
        finally:
            if closing is None:
                self._forget(claim)
        if closing is None:
            await self._orgs.ledger.report()
        return closing

    async def _close(self, claim: TaskClaim, counter: CallCounter) -> None:
        """Ask the org what it holds, and say that the object is read."""
        try:
            async with self._settling(lambda: claim, counter):
                found = await self._closer.find(claim, self._counts.pop(claim.key, None))
                await self._closer.extracted(claim, found, lambda: counter.calls)
        finally:
            self._forget(claim)
        await self._orgs.ledger.report()

    def _forget(self, claim: TaskClaim) -> None:
        self._live.pop(claim.key, None)
        self._counts.pop(claim.key, None)

    @asynccontextmanager
    async def _settling(self, present: Callable[[], TaskClaim], counter: CallCounter) -> AsyncIterator[None]:
        """What goes wrong in it puts the object off, or fails it."""
        try:
            yield
        except HoldfastError as error:
            await self._settle(present(), error, counter.calls)
        except Exception as error:
            claim = present()
            log.exception("reading_broke", object=claim.object, run_id=str(claim.run.run_id))
            broken = HoldfastError(Kind.INTERNAL, f"Reading failed inside Holdfast: {type(error).__name__}.")
            await self._settle(claim, broken, counter.calls)

    async def _read(self, claim: TaskClaim) -> TaskClaim:
        """Stage what is left of the present part; the claim as it then is."""
        client = await self._orgs.client(claim.run.connection_id)
        if claim.part == "deletions" and not claim.drained:
            source = await deletions(self._db, client, claim, self._clock)
            await self._staging.stage_all(claim, source)
            return replace(claim, deleted_until=source.until, noted=(source.note,) if source.note else ())
        while not claim.drained:
            try:
                await self._staging.stage_all(claim, await self._source(client, claim))
                following = await self._mover.onward(claim)
                if following is None:
                    return claim
                claim = following
            except Elsewhere as move:
                log.info("reading_moves", object=claim.object, to=move.strategy, reason=move.reason)
                claim = await self._elsewhere(client, claim, move)
            except HoldfastError as error:
                if not names_missing_field(error):
                    raise
                claim = await self._mover.with_new_fields(client, claim, error)
        return claim

    async def _elsewhere(self, client: SalesforceClient, claim: TaskClaim, move: Elsewhere) -> TaskClaim:
        if move.too_much is not None:
            # A list of what lives is not read in ranges of ids, nor are records that have none.
            if claim.part != "records" or claim.schema.key:
                if claim.strategy == "rest":
                    raise move.too_much
                # A job that came to nothing is not looked at again: REST lists page after page.
                return await self._mover.begin(claim, "rest", restarts=max(move.bulk_restarts, MOST_BULK_JOBS))
            return await self._mover.split(client, claim, move.strategy, move.bulk_restarts, move.too_much)
        return await self._mover.begin(claim, move.strategy, restarts=move.bulk_restarts)

    async def _source(self, client: SalesforceClient, claim: TaskClaim) -> PageSource:
        if claim.part == "census":
            require_listable(claim)

        async def created(job_id: str, created_at: datetime | None) -> None:
            # A list of what lives was made after the records were read, so its time says nothing of them.
            read_from = created_at if claim.part == "records" else None
            restarts = claim.bulk_restarts
            await self._mover.begin(claim, "bulk2", bulk_job=job_id, restarts=restarts, created_at=read_from)

        source, count = await self._sources.open(client, claim, created)
        # A count that an earlier source brought is older than what this one reads.
        self._counts.pop(claim.key, None)
        if count is not None:
            self._counts[claim.key] = count
        return source

    async def _settle(self, claim: TaskClaim, error: HoldfastError, calls: int) -> None:
        if error.kind is Kind.FENCED:
            log.warning("reading_fenced", object=claim.object, run_id=str(claim.run.run_id))
            return
        pause = self._patience.pause(error, await store.task_failures(self._db, claim))
        log.warning(
            "reading_failed",
            object=claim.object,
            run_id=str(claim.run.run_id),
            error=error.message,
            detail=error.detail,
            again_in_s=pause.total_seconds() if pause else None,
        )
        if pause is not None:
            await store.postpone(self._db, claim, pause, calls, error)
            return
        if claim.pass_number > 1 or claim.part != "records":
            # The records are read and stay so: what cannot be known is said, and the run goes on.
            found = Findings(Counted(None, error.message), read=claim.part != "records")
            await self._closer.extracted(claim, found, lambda: calls)
            return
        await self._closer.failed(claim, error, calls)
