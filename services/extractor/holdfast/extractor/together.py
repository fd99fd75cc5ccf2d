"""Small questions about many objects of one org, gathered for a moment and asked in one composite call."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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
    due: asyncio.Event = field(default_factory=asyncio.Event)


class Together:
    """Asks for many at once: Salesforce charges a composite call of five queries as one call.

    A call goes out when it is full, when nobody who reads the org is left to ask something, or when its first question
    has waited for long.
    """

    def __init__(self, orgs: Orgs, window: timedelta, patience: timedelta) -> None:
        """Make a gatherer.

        Args:
            window: How long a question waits for others while nobody reads the org.
            patience: How long it waits while somebody does, who will have a question too.
        """
        self._orgs = orgs
        self._window = window.total_seconds()
        self._patience = max(window, patience).total_seconds()
        self._batches: dict[UUID, _Batch] = {}
        self._sending: set[asyncio.Task[None]] = set()
        self._readers: Counter[UUID] = Counter()

    @contextmanager
    def reader(self, connection_id: UUID) -> Iterator[None]:
        """Surrounds work that is likely to have a question at its end."""
        self._readers[connection_id] += 1
        try:
            yield
        finally:
            self._readers[connection_id] -= 1
            self._send_if_alone(connection_id)

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
            batch = self._begin(connection_id)
        answer: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        batch.parts += parts
        batch.askers.append((answer, len(parts)))
        if len(batch.parts) >= MOST_QUERIES:
            # Whoever comes next begins a new call.
            del self._batches[connection_id]
            batch.due.set()
        return answer

    def gathering(self, connection_id: UUID) -> object:
        """What stands for the call that is not sent yet; None if there is none."""
        return self._batches.get(connection_id)

    def _begin(self, connection_id: UUID) -> _Batch:
        batch = self._batches[connection_id] = _Batch()
        task = asyncio.create_task(self._send(connection_id, batch), name=f"together-{connection_id}")
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)
        self._send_if_alone(connection_id)
        return batch

    def _send_if_alone(self, connection_id: UUID) -> None:
        """Send what has gathered in a moment, if nobody reads the org then either."""
        batch = self._batches.get(connection_id)
        if batch is None or self._readers[connection_id]:
            return

        def send() -> None:
            if not self._readers[connection_id]:
                batch.due.set()

        asyncio.get_running_loop().call_later(self._window, send)

    async def _send(self, connection_id: UUID, batch: _Batch) -> None:
        try:
            async with asyncio.timeout(self._patience):
                await batch.due.wait()
        except TimeoutError:
            pass
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
