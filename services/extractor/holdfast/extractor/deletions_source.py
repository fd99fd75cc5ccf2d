"""The org's own list of deleted records as a page: `getDeleted`, which reaches back 15 days."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import NoReturn

import pyarrow as pa

from holdfast.common.errors import HoldfastError, Kind
from holdfast.extractor.reading import Fetched
from holdfast.salesforce.client import SalesforceClient
from holdfast.salesforce.models import Deleted

HORIZON = timedelta(days=15)
# The org counts in whole minutes; a start on the horizon would be behind it when it arrives.
_MARGIN = timedelta(minutes=5)
_SHORTEST = timedelta(minutes=2)


class DeletionsSource:
    """One page, or none.

    Attributes:
        until: How far the org's list is known after `next`, in its time; None if it did not say.
        note: What of the list cannot be known, in a sentence; empty if nothing.
    """

    def __init__(
        self, client: SalesforceClient, object_name: str, *, stamp: str | None, since: datetime | None, now: datetime
    ) -> None:
        """Make a source.

        Args:
            stamp: The object's stamp field, which the page fills with the time of the deletion.
            since: How far the list was read before, in the org's time.
            now: The org's time.
        """
        self._client = client
        self._object = object_name
        self._stamp = stamp
        earliest = now - HORIZON + _MARGIN
        self._start = earliest if since is None else max(since, earliest)
        self._end = now
        self._done = False
        self.until = since
        self.note = ""

    async def close(self) -> None:
        """Nothing is fetched ahead."""

    async def next(self) -> Fetched | None:
        """The page; None after it, if nothing was deleted, or if the org gives no list.

        Raises:
            HoldfastError: When the org does not answer.
        """
        if self._done or self._end - self._start < _SHORTEST:
            return None
        self._done = True
        try:
            answer = await self._client.get_deleted(self._object, self._start, self._end)
        except HoldfastError as error:
            if error.transient:
                raise
            self.note = f"Salesforce gives no list of deleted records of {self._object}: {error.message}"
            return None
        self.until = answer.latest_date_covered
        if answer.earliest_date_available > self._start + _SHORTEST:
            self.note = (
                f"Salesforce's list of deleted records of {self._object} reaches back to "
                f"{answer.earliest_date_available.astimezone(UTC):%Y-%m-%d %H:%M} UTC only."
            )
        return self._page(answer) if answer.deleted_records else None

    def _page(self, answer: Deleted) -> Fetched:
        records = {record.id: record.deleted_date for record in answer.deleted_records}
        columns = {"Id": pa.array(list(records)), "IsDeleted": pa.repeat(pa.scalar("true"), len(records))}
        if self._stamp is not None:
            columns[self._stamp] = pa.array([f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.000Z}" for at in records.values()])
        table = pa.table(columns)
        return Fetched(rows=len(records), last=True, parse=lambda: table, again=_never, origin="rest")


async def _never() -> NoReturn:
    raise HoldfastError(Kind.INTERNAL, "A list of deletions that was already read was asked for again.")
