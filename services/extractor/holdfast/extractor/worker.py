"""Reads one leased object: picks up its durable position, stages what is left, hands it over to be closed."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from uuid import UUID

import structlog

from holdfast.common.clock import Clock
from holdfast.common.contracts.extractor import OrgCount
from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.postgres import Database, Unit
from holdfast.extractor import store
from holdfast.extractor.budget import Purpose, spend_for
from holdfast.extractor.bulk_source import BulkSource, BulkStart
from holdfast.extractor.classification import walk_of
from holdfast.extractor.closing import Closer, Findings
from holdfast.extractor.counting import Counted
from holdfast.extractor.org import CallCounter, Orgs, count_calls
from holdfast.extractor.parent_walk import ParentWalk
from holdfast.extractor.passes import begin_part, deletions, next_part, require_listable
from holdfast.extractor.patience import Patience
from holdfast.extractor.planning import Strategy, record_schema
from holdfast.extractor.probing import Prober
from holdfast.extractor.reading import Elsewhere, PageSource, names_missing_field
from holdfast.extractor.rest_source import RestSource, hands_over_to_bulk
from holdfast.extractor.settings import ExtractorSettings
from holdfast.extractor.staging import Staging
from holdfast.extractor.steps import READING_MOVED
from holdfast.extractor.store import TaskClaim, sql
from holdfast.salesforce.client import SalesforceClient
from holdfast.salesforce.models import Describe

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
        prober: Prober,
        clock: Clock,
    ) -> None:
        self._db = db
        self._orgs = orgs
        self._staging = staging
        self._closer = closer
        self._prober = prober
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

    async def read(self, claim: TaskClaim) -> None:
        """Read an object to its end, or put it off, or fail it."""
        counter = count_calls()
        purpose: Purpose = "census" if claim.purpose == "census" else "records"
        spend_for(claim.run.job_id, claim.run.api_limit_percent, purpose)
        self._live[claim.key] = counter
        try:
            claim = await self._read(claim)
            while (part := next_part(claim)) is not None:
                claim = await self._read(await begin_part(self._db, claim, part, self._settings))
            found = await self._closer.find(claim, self._counts.pop(claim.key, None))
            await self._closer.extracted(claim, found, lambda: counter.calls)
        except HoldfastError as error:
            await self._settle(claim, error, counter.calls)
        except Exception as error:
            log.exception("reading_broke", object=claim.object, run_id=str(claim.run.run_id))
            broken = HoldfastError(Kind.INTERNAL, f"Reading failed inside Holdfast: {type(error).__name__}.")
            await self._settle(claim, broken, counter.calls)
        finally:
            del self._live[claim.key]
            self._counts.pop(claim.key, None)
        await self._orgs.ledger.report()

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
                return claim
            except Elsewhere as move:
                log.info("reading_moves", object=claim.object, to=move.strategy, reason=move.reason)
                claim = await self._move(claim, move.strategy, None, move.bulk_restarts, None)
            except HoldfastError as error:
                if not names_missing_field(error):
                    raise
                claim = await self._with_new_schema(client, claim, error)
        return claim

    async def _with_new_schema(self, client: SalesforceClient, claim: TaskClaim, error: HoldfastError) -> TaskClaim:
        """Go on with the fields that the object has now: one was taken away since the run was planned."""
        described = await client.describe(claim.object)
        schema = record_schema(described, claim.schema.fields) if isinstance(described, Describe) else claim.schema
        if schema == claim.schema:
            raise error

        async def work(unit: Unit) -> int:
            _, next_seq = await store.lock_task(unit, claim)
            await unit.execute(sql.renew_schema, claim.key, schema.to_json().decode())
            return next_seq

        log.info("schema_changed", object=claim.object, run_id=str(claim.run.run_id))
        next_seq = await self._db.run(READING_MOVED, work)
        return await self._move(
            replace(claim, schema=schema, next_seq=next_seq), claim.strategy, None, claim.bulk_restarts, None
        )

    async def _source(self, client: SalesforceClient, claim: TaskClaim) -> PageSource:
        if claim.part == "census":
            require_listable(claim)
        if claim.strategy == "rest":
            probe = await self._prober.take(client, claim)
            if probe is not None and probe.count is not None:
                self._counts[claim.key] = probe.count
            may_move = hands_over_to_bulk(claim.query, claim.bulk_restarts, claim.next_seq - claim.part_from_seq)
            whole = RestSource(
                client,
                claim.query,
                after=claim.after,
                bulk_from_rows=self._settings.extractor_bulk_threshold_rows if may_move else None,
                bulk_restarts=claim.bulk_restarts,
                first=probe.page if probe else None,
            )
            walk = walk_of(claim.object)
            if walk is None:
                return whole
            return ParentWalk(
                client, claim.query, walk, after=claim.after, whole=whole if walk.unfiltered_first else None
            )
        rows_read = 0
        if claim.bulk_job is not None:
            rows_read = await self._db.fetchval(sql.rows_of_job, claim.key, claim.bulk_job)

        async def created(job_id: str, created_at: datetime | None) -> None:
            # A list of what lives was made after the records were read, so its time says nothing of them.
            read_from = created_at if claim.part == "records" else None
            await self._move(claim, "bulk2", job_id, claim.bulk_restarts, read_from)

        return BulkSource(
            client,
            claim.query,
            BulkStart(claim.bulk_job, claim.bulk_locator, claim.bulk_restarts, rows_read),
            created=created,
            clock=self._clock,
            page_bytes=self._settings.extractor_page_bytes,
            poll_first=self._settings.extractor_job_poll_first,
            poll_longest=self._settings.extractor_job_poll_longest,
        )

    async def _move(
        self,
        claim: TaskClaim,
        strategy: Strategy,
        bulk_job: str | None,
        restarts: int,
        created_at: datetime | None,
    ) -> TaskClaim:
        """Make a new way of reading durable; returns the claim as it then is."""

        async def work(unit: Unit) -> int:
            _, next_seq = await store.lock_task(unit, claim)
            await unit.execute(sql.move_reading, claim.key, strategy, bulk_job, restarts, created_at)
            return next_seq

        next_seq = await self._db.run(READING_MOVED, work)
        return replace(
            claim,
            strategy=strategy,
            bulk_job=bulk_job,
            bulk_locator=None,
            bulk_restarts=restarts,
            after=None,
            next_seq=next_seq,
        )

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
            await self._closer.extracted(claim, Findings(Counted(None, error.message)), lambda: calls)
            return
        await self._closer.failed(claim, error, calls)
