"""Which source reads a leased object, from its durable position on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime

from holdfast.common.clock import Clock
from holdfast.common.contracts.extractor import OrgCount
from holdfast.common.postgres import Database
from holdfast.extractor.bulk_source import BulkPace, BulkSource, BulkStart
from holdfast.extractor.classification import walk_of
from holdfast.extractor.keyset_source import KeysetSource
from holdfast.extractor.parent_walk import ParentWalk
from holdfast.extractor.planning import bulk_page_rows
from holdfast.extractor.probing import Prober
from holdfast.extractor.reading import PageSource
from holdfast.extractor.rest_source import RestSource, hands_over_to_bulk
from holdfast.extractor.result_pages import Lookahead
from holdfast.extractor.settings import ExtractorSettings
from holdfast.extractor.store import TaskClaim, sql
from holdfast.salesforce.client import SalesforceClient

Created = Callable[[str, datetime | None], Awaitable[None]]


class Sources:
    """Makes page sources; what all of them share is here."""

    def __init__(self, db: Database, settings: ExtractorSettings, prober: Prober, clock: Clock) -> None:
        self._db = db
        self._bulk_from_rows = settings.extractor_bulk_threshold_rows
        self._prober = prober
        self._clock = clock
        self._page_bytes = settings.extractor_page_bytes
        self._lookahead = Lookahead(settings.extractor_pages_ahead, settings.extractor_bytes_ahead)
        self._pace = BulkPace(
            page_rows=1,  # the object decides
            poll_first=settings.extractor_job_poll_first,
            poll_longest=settings.extractor_job_poll_longest,
            stuck_after=settings.extractor_job_stuck_after,
            parallel_from_pages=settings.extractor_parallel_from_pages,
        )

    async def open(
        self, client: SalesforceClient, claim: TaskClaim, created: Created
    ) -> tuple[PageSource, OrgCount | None]:
        """The source for an object, and its count if that came with its only page.

        Args:
            created: Makes a new Bulk job durable before it is waited for.
        """
        if claim.strategy == "rest":
            return await self._rest(client, claim)
        job = await self._db.fetchrow(sql.pages_of_job, claim.key, claim.bulk_job)
        start = BulkStart(
            claim.bulk_job,
            claim.bulk_locator,
            claim.bulk_restarts,
            job["rows"] if job else 0,
            job["bodies"] if job else (),
        )
        source = BulkSource(
            client,
            claim.query,
            start,
            created=created,
            clock=self._clock,
            pace=replace(self._pace, page_rows=bulk_page_rows(claim.page_schema.fields, self._page_bytes)),
            lookahead=self._lookahead,
        )
        return source, None

    async def _rest(self, client: SalesforceClient, claim: TaskClaim) -> tuple[PageSource, OrgCount | None]:
        may_move = hands_over_to_bulk(claim.query, claim.bulk_restarts, claim.next_seq - claim.part_from_seq)
        if claim.query.key:
            bulk_from = self._bulk_from_rows if may_move else None
            restarts = claim.bulk_restarts
            keyset = KeysetSource(client, claim.query, after=claim.after, bulk_from_rows=bulk_from, restarts=restarts)
            return keyset, None
        probe = await self._prober.take(client, claim)
        whole = RestSource(
            client,
            claim.query,
            after=claim.after,
            bulk_from_rows=self._bulk_from_rows if may_move else None,
            bulk_restarts=claim.bulk_restarts,
            first=probe.page if probe else None,
        )
        walk = walk_of(claim.object)
        if walk is None:
            return whole, probe.count if probe else None
        first = whole if walk.unfiltered_first else None
        return ParentWalk(client, claim.query, walk, after=claim.after, whole=first), None
