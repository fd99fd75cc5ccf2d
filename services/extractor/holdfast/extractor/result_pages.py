"""Pages of a finished Bulk job, several on their way at once, handed out in order.

Salesforce lists them five at a time (`resultPages`); their sizes are its own choice, so how many are fetched side by
side goes by the size of those that came. A page counts until it is durable: what a kill costs is what counts then.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import NamedTuple

from holdfast.common.tasks import end_tasks
from holdfast.extractor.reading import lying_page
from holdfast.salesforce.client import SalesforceClient
from holdfast.salesforce.models import BulkPage


class Place(NamedTuple):
    """Where reading a listed result goes on: after so many pages of a listing. None is the first listing."""

    done: int
    listing: str | None

    def __str__(self) -> str:
        return f"{self.done}@{self.listing or ''}"

    @classmethod
    def parse(cls, text: str) -> Place | None:
        """The place that `str` made the text of; None for a locator, which never holds an `@`."""
        done, at, listing = text.partition("@")
        return cls(int(done), listing or None) if at else None


FIRST = Place(0, None)


class Lookahead:
    """How many pages may be fetched before their turn, all objects together, and how many bytes that may be."""

    def __init__(self, pages: int, max_bytes: int) -> None:
        self._most = pages + 1
        self._free = pages
        self.max_bytes = max_bytes

    def has_room(self, page_bytes: int, unsettled: int) -> bool:
        """Whether one more page of about this size may be fetched, so many of its object being not durable yet."""
        return self._free > 0 and unsettled < self._most and (unsettled + 1) * page_bytes <= self.max_bytes

    def take(self) -> None:
        """A page is fetched before its turn; there must be room."""
        self._free -= 1

    def give_back(self) -> None:
        """A page that was taken for is handed out, or no longer wanted."""
        self._free += 1


class Listed(NamedTuple):
    """A page of the result. `after` is the place behind it, None behind the last one."""

    address: str
    page: BulkPage
    after: Place | None


class _OnItsWay(NamedTuple):
    address: str
    after: Place | None
    page: asyncio.Task[BulkPage]
    ahead: bool


class ResultReader:
    """Reads a listed result from a place on."""

    def __init__(self, client: SalesforceClient, job_id: str, place: Place, lookahead: Lookahead) -> None:
        self._client = client
        self._job_id = job_id
        self._lookahead = lookahead
        self._place: Place | None = place
        self._listed: list[tuple[str, Place | None]] = []
        self._coming: deque[_OnItsWay] = deque()
        self._addresses: set[str] = set()
        self._handed_out = 0
        # Until a page has come nobody knows how large they are: two are fetched then.
        self._page_bytes = lookahead.max_bytes // 2

    async def next(self) -> Listed | None:
        """The next page, to be settled once it is durable; None after the last one.

        Raises:
            HoldfastError: From the org; UNAVAILABLE when it lists a page twice.
        """
        if not self._coming:
            if not self._listed and self._place is not None:
                await self._list(self._place)
            if not self._listed:
                return None
            self._send(ahead=False)
        await self._send_ahead()
        first = self._coming[0]
        try:
            page = await first.page
        finally:
            self._coming.popleft()
            if first.ahead:
                self._lookahead.give_back()
        self._page_bytes = max(1, len(page.body))
        self._handed_out += 1
        await self._send_ahead()
        return Listed(first.address, page, first.after)

    def settled(self) -> None:
        """A page that was handed out is durable: another may come for it, at once if its address is known."""
        self._handed_out -= 1
        self._send_listed()

    async def close(self) -> None:
        """Drop what is still on its way."""
        coming, self._coming = list(self._coming), deque()
        await end_tasks([item.page for item in coming])
        for item in coming:
            if item.ahead:
                self._lookahead.give_back()

    @property
    def _room(self) -> bool:
        return self._lookahead.has_room(self._page_bytes, len(self._coming) + self._handed_out)

    async def _send_ahead(self) -> None:
        self._send_listed()
        while not self._listed and self._place is not None and self._room:
            await self._list(self._place)
            self._send_listed()

    def _send_listed(self) -> None:
        """Begin to fetch what is listed, as far as that may be before its turn."""
        while self._listed and self._room:
            self._lookahead.take()
            self._send(ahead=True)

    def _send(self, *, ahead: bool) -> None:
        """Begin to fetch the next page that is listed."""
        address, after = self._listed.pop(0)
        page = asyncio.create_task(self._client.download_from(self._job_id, address))
        self._coming.append(_OnItsWay(address, after, page, ahead))

    async def _list(self, place: Place) -> None:
        found = await self._client.result_pages(self._job_id, place.listing)
        following = Place(0, found.following) if found.following else None
        places = [Place(done, place.listing) for done in range(1, len(found.pages))]
        behind: list[Place | None] = [*places, following]
        listed = list(zip(found.pages, behind, strict=False))[place.done :]
        for address, _ in listed:
            if address in self._addresses:
                raise lying_page("page-repeated", "Salesforce lists it twice")
            self._addresses.add(address)
        if not listed and following is not None:
            raise lying_page("page-missing", "Salesforce lists none, and more after it")
        self._listed, self._place = listed, following
