"""Asks for the first pages of several objects at once: five queries in a call, which Salesforce charges as one.

The first worker of a run that gets to an object asks for its siblings too and keeps what it hears for them, for
moments and in memory only: a page counts once it is staged, and who finds nothing here asks alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import structlog

from holdfast.common.clock import Clock
from holdfast.common.contracts.extractor import OrgCount
from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.postgres import Database
from holdfast.extractor import store
from holdfast.extractor.classification import walk_of
from holdfast.extractor.soql import ObjectQuery
from holdfast.extractor.store import TaskClaim
from holdfast.salesforce.client import SalesforceClient
from holdfast.salesforce.composite import Part, query_part
from holdfast.salesforce.models import RestPage

log = structlog.get_logger(__name__)

# Two calls' worth of queries: their pages are in memory until their workers come, about 5 MB each at most.
MOST_OBJECTS = 10
# What was heard longer ago is asked for again: the org has moved on, and its counts with it.
FRESH = timedelta(seconds=60)


# The question for the number of living records; None for what cannot be counted.
Counting = Callable[[ObjectQuery], Part[RestPage] | None]


@dataclass(frozen=True)
class Probe:
    """The beginning of an object, or of what changed in it, and how many records it holds.

    Attributes:
        page: The first page of what is to be read.
        count: Living records, counted after `page` was read; None if that is not all, or was not asked.
        at: When it was asked, by the clock of this process.
    """

    page: RestPage
    count: OrgCount | None
    at: datetime


class Prober:
    """Probes of the objects that wait to be read by REST."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        holder: str,
        counting: Callable[[ObjectQuery], Part[RestPage] | None] | None = None,
    ) -> None:
        """Make a prober.

        Args:
            holder: Whose rows, besides those that nobody holds, may be asked for.
            counting: The question for the number of an object's living records; None for one that cannot be counted.
        """
        self._db = db
        self._clock = clock
        self._holder = holder
        self._counting = counting or (lambda query: None)
        self._heard: dict[UUID, Probe] = {}
        # A worker that has taken its probe is still at work on it: nobody needs to ask for its object again.
        self._asked: dict[UUID, datetime] = {}
        self._asking = asyncio.Lock()

    async def take(self, client: SalesforceClient, claim: TaskClaim) -> Probe | None:
        """What is known of an object that nothing was read of yet; each probe is handed out once.

        Returns:
            None if the object is read otherwise, or the org did not answer for it: then ask alone.

        Raises:
            HoldfastError: The org cannot be asked now.
        """
        if claim.pass_number > 1 or claim.part != "records":
            return None
        if claim.strategy != "rest" or claim.next_seq > 1 or claim.after or claim.legs:
            return None
        if walk_of(claim.object) is not None:
            return None
        async with self._asking:
            self._forget()
            if claim.key not in self._asked:
                known = [claim.key, *self._asked]
                siblings = await store.siblings(self._db, claim, self._holder, known, MOST_OBJECTS - 1)
                plain = {
                    key: query for key, query in siblings.items() if walk_of(query.object) is None and not query.key
                }
                await self._ask(client, {claim.key: claim.query, **plain})
        return self._heard.pop(claim.key, None)

    def _forget(self) -> None:
        oldest = self._clock.now() - FRESH
        self._heard = {key: probe for key, probe in self._heard.items() if probe.at >= oldest}
        self._asked = {key: at for key, at in self._asked.items() if at >= oldest}

    async def _ask(self, client: SalesforceClient, queries: dict[UUID, ObjectQuery]) -> None:
        """Ask for changes first and counts last, so that each object is counted after it was read."""
        counted = {key: part for key, query in queries.items() if (part := self._counting(query)) is not None}
        parts: list[Part[RestPage]] = [
            query_part(query.ordered(), all_rows=True, fields=query.fields) for query in queries.values()
        ]
        parts += counted.values()
        try:
            outcomes = await client.composite(parts)
        except HoldfastError as error:
            if error.transient and error.kind is not Kind.TIMEOUT:
                raise
            log.warning("probed_one_by_one", objects=len(queries), error=error.message)
            outcomes = []
        at = self._clock.now()
        self._asked |= dict.fromkeys(queries, at)
        told = client.answered_at or at
        records = dict(zip(counted, outcomes[len(queries) :], strict=False))
        for key, page in zip(queries, outcomes, strict=False):
            if isinstance(page, RestPage):
                count = records.get(key) if page.next_url is None else None
                whole = OrgCount(records=count.total_size, at=told) if isinstance(count, RestPage) else None
                self._heard[key] = Probe(page, whole, at)
