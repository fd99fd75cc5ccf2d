"""Small questions about many objects of one org, gathered for a moment and asked in one composite call."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

from holdfast.extractor.org import Orgs
from holdfast.salesforce.composite import MOST_QUERIES, Part


@dataclass
class _Batch:
    """Questions that go in one call, and who waits for which of the answers."""

    parts: list[Part[Any]] = field(default_factory=list)
    askers: list[tuple[asyncio.Future[list[Any]], int]] = field(default_factory=list)
    full: asyncio.Event = field(default_factory=asyncio.Event)


class Together:
    """Asks for many at once: Salesforce charges a composite call of five queries as one call."""

    def __init__(self, orgs: Orgs, window: timedelta) -> None:
        """Make a gatherer.

        Args:
            window: How long the first question of a call waits for others.
        """
        self._orgs = orgs
        self._window = window.total_seconds()
        self._batches: dict[UUID, _Batch] = {}
        self._sending: set[asyncio.Task[None]] = set()

    async def ask(self, connection_id: UUID, parts: Sequence[Part[Any]]) -> list[Any]:
        """What each part came to: its result, or the `SalesforceError` that it met.

        Raises:
            HoldfastError: When the call as a whole fails.
        """
        return await self.put(connection_id, parts)

    def put(self, connection_id: UUID, parts: Sequence[Part[Any]]) -> asyncio.Future[list[Any]]:
        """As `ask`, without waiting for the answers."""
        batch = self._batches.get(connection_id)
        if batch is None:
            batch = self._batches[connection_id] = _Batch()
            task = asyncio.create_task(self._send(connection_id, batch), name=f"together-{connection_id}")
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)
        answer: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        batch.parts += parts
        batch.askers.append((answer, len(parts)))
        if len(batch.parts) >= MOST_QUERIES:
            # Whoever comes next begins a new call.
            del self._batches[connection_id]
            batch.full.set()
        return answer

    def gathering(self, connection_id: UUID) -> object:
        """What stands for the call that is not sent yet; None if there is none."""
        return self._batches.get(connection_id)

    async def _send(self, connection_id: UUID, batch: _Batch) -> None:
        try:
            async with asyncio.timeout(self._window):
                await batch.full.wait()
        except TimeoutError:
            if self._batches.get(connection_id) is batch:
                del self._batches[connection_id]
        try:
            client = await self._orgs.client(connection_id)
            answers = await client.composite(batch.parts)
        except Exception as error:
            for asker, _ in batch.askers:
                if not asker.done():
                    asker.set_exception(error)
            return
        first = 0
        for asker, number in batch.askers:
            if not asker.done():  # its worker may have lost the object meanwhile
                asker.set_result(answers[first : first + number])
            first += number
