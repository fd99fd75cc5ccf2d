"""Tokens in memory, and one sign-in at a time per connection.

Tokens are not stored: each replica holds its own, and Salesforce gives a new one in a fraction of a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from uuid import UUID

from holdfast.common.tasks import end_tasks
from holdfast.salesforce.models import Access

SignIn = Callable[[UUID], Awaitable[Access]]


class Tokens:
    """Hands out the present token of a connection, and gets a new one when it is refused."""

    def __init__(self, sign_in: SignIn) -> None:
        self._sign_in = sign_in
        self._held: dict[UUID, Access] = {}
        self._running: dict[UUID, asyncio.Task[Access]] = {}

    async def get(self, connection_id: UUID, refused: str) -> Access:
        """A token that is not `refused` (empty: none was).

        Callers that name the same refused token, or come while a sign-in runs, share one sign-in and its
        outcome, also when it fails. A caller that gives up does not stop it for the others.
        """
        held = self._held.get(connection_id)
        if held is not None and held.access_token != refused:
            return held
        running = self._running.get(connection_id)
        if running is None:
            running = asyncio.create_task(self._renew(connection_id))
            self._running[connection_id] = running
            running.add_done_callback(lambda task: self._done(connection_id, task))
        return await asyncio.shield(running)

    def hold(self, connection_id: UUID, access: Access) -> None:
        """Hand out `access` from now on."""
        self._held[connection_id] = access

    def drop(self, connection_id: UUID) -> None:
        """Hand out nothing held before."""
        self._held.pop(connection_id, None)

    async def close(self) -> None:
        """Stop the sign-ins under way."""
        await end_tasks(list(self._running.values()))

    async def _renew(self, connection_id: UUID) -> Access:
        self.drop(connection_id)
        access = await self._sign_in(connection_id)
        self.hold(connection_id, access)
        return access

    def _done(self, connection_id: UUID, task: asyncio.Task[Access]) -> None:
        self._running.pop(connection_id, None)
        if not task.cancelled():
            task.exception()  # taken here too: every caller may have given up
