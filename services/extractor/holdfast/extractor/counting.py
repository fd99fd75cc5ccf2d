"""How many living records the org has of an object, or why nobody can say."""

from __future__ import annotations

from dataclasses import dataclass

from holdfast.common.clock import Clock
from holdfast.common.contracts.extractor import OrgCount
from holdfast.extractor.classification import is_big, walk_of
from holdfast.extractor.org import Orgs
from holdfast.extractor.soql import ObjectQuery
from holdfast.extractor.store import TaskClaim
from holdfast.extractor.together import Together
from holdfast.salesforce.composite import Part, query_part
from holdfast.salesforce.errors import Retry, SalesforceError
from holdfast.salesforce.models import RestPage


@dataclass(frozen=True)
class Counted:
    """A count, or a sentence why there is none."""

    count: OrgCount | None
    not_counted: str = ""


class Counter:
    """Counts objects whose pages are all in; those that end together share a call."""

    def __init__(self, together: Together, orgs: Orgs, clock: Clock) -> None:
        self._together = together
        self._orgs = orgs
        self._clock = clock

    async def count(self, claim: TaskClaim) -> Counted:
        """The number of the object's living records now, with the org's time.

        Raises:
            HoldfastError: When the org does not answer at all, so that asking again later is worth it.
        """
        part = counting_part(claim.query)
        if part is None:
            return Counted(None, uncountable(claim.object))
        (answer,) = await self._together.ask(claim.run.connection_id, [part])
        if isinstance(answer, SalesforceError) and answer.retry in (Retry.BACKOFF, Retry.TWICE):
            (answer,) = await self._together.ask(claim.run.connection_id, [part])
        if isinstance(answer, SalesforceError):
            return Counted(None, f"Salesforce did not count {claim.object}: {answer.message}")
        client = await self._orgs.client(claim.run.connection_id)
        at = client.answered_at or self._clock.now()
        return Counted(OrgCount(records=answer.total_size, at=at))


def uncountable(object_name: str) -> str:
    """Why an object cannot be counted; empty if it can."""
    if is_big(object_name):
        return "Salesforce does not count big objects."
    if walk_of(object_name) is not None:
        return f"{object_name} only answers filtered queries, so it cannot be counted as a whole."
    return ""


def counting_part(query: ObjectQuery) -> Part[RestPage] | None:
    """The question for the number of living records of a query's object; None if there is no answer to it."""
    if uncountable(query.object):
        return None
    living = query.of_the_living(())
    return query_part(living.counting(), all_rows=living.all_rows)
