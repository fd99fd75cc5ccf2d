"""Ways to the orgs: a client per connection, tokens from `connections`, and the calls reported back."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

import structlog

from holdfast.common.clock import Clock
from holdfast.common.errors import HoldfastError
from holdfast.salesforce.client import SalesforceClient
from holdfast.salesforce.models import Access, AccessProvider
from holdfast.salesforce.usage import Usage

log = structlog.get_logger(__name__)


class CallCounter:
    """Calls made for one piece of work."""

    def __init__(self) -> None:
        self.calls = 0


_counter: ContextVar[CallCounter | None] = ContextVar("holdfast_extractor_calls", default=None)


def count_calls() -> CallCounter:
    """Count the calls that this task, and those it starts from now on, make."""
    counter = CallCounter()
    _counter.set(counter)
    return counter


class Connections(Protocol):
    """What the extractor needs of the `connections` service."""

    async def access(self, connection_id: UUID, refused: str | None) -> tuple[Access, str]:
        """A token, and the API version to use it with.

        Args:
            refused: A token that the org just refused; a refresh then serves everybody who names it.
        """

    async def report(self, connection_id: UUID, calls: int, usage: Usage | None) -> None:
        """Add calls to the org's ledger."""


@dataclass
class _Unreported:
    calls: int = 0
    usage: Usage | None = None


class UsageLedger:
    """Collects calls and hands them on in batches: never one report per call."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._waiting: dict[UUID, _Unreported] = {}
        self._sending = asyncio.Lock()

    def called(self, connection_id: UUID, usage: Usage | None) -> None:
        """Note one call."""
        counter = _counter.get()
        if counter is not None:
            counter.calls += 1
        waiting = self._waiting.setdefault(connection_id, _Unreported())
        waiting.calls += 1
        waiting.usage = usage or waiting.usage

    async def report(self) -> bool:
        """Hand on what has come together. What cannot be handed on waits for the next time.

        Returns:
            False: there is nothing more to do until the next time.
        """
        async with self._sending:
            batch, self._waiting = self._waiting, {}
            for connection_id, waiting in batch.items():
                try:
                    await self._connections.report(connection_id, waiting.calls, waiting.usage)
                except HoldfastError as error:
                    log.warning("usage_not_reported", connection=str(connection_id), error=error.message)
                    again = self._waiting.setdefault(connection_id, _Unreported())
                    again.calls += waiting.calls
                    again.usage = again.usage or waiting.usage
        return False


@dataclass(frozen=True)
class _Observer:
    """The client's hook for one connection."""

    ledger: UsageLedger
    connection_id: UUID

    def called(self, method: str, route: str, usage: Usage | None) -> None:
        """Note one call; Salesforce does not charge the question whose token it is."""
        if route != "userinfo":
            self.ledger.called(self.connection_id, usage)


class _Token(AccessProvider):
    """The token of one connection, kept until the org refuses it."""

    def __init__(self, connections: Connections, connection_id: UUID, first: Access) -> None:
        self._connections = connections
        self._connection_id = connection_id
        self._access = first
        self._refreshing = asyncio.Lock()

    async def ask_again(self) -> None:
        """Take the token that `connections` has now: the org may have moved, or be signed in to anew."""
        async with self._refreshing:
            self._access, _ = await self._connections.access(self._connection_id, None)

    async def access(self, refused: str | None = None) -> Access:
        """The present token; a new one if the present one is the one refused."""
        async with self._refreshing:
            if refused is not None and refused == self._access.access_token:
                self._access, _ = await self._connections.access(self._connection_id, refused)
            return self._access


class Orgs:
    """One client per connection, made at its first use."""

    def __init__(self, connections: Connections, clock: Clock, *, concurrency: int, allow_insecure: bool) -> None:
        self.ledger = UsageLedger(connections)
        self._connections = connections
        self._clock = clock
        self._concurrency = concurrency
        self._allow_insecure = allow_insecure
        self._clients: dict[UUID, SalesforceClient] = {}
        self._tokens: dict[UUID, _Token] = {}
        self._opening = asyncio.Lock()

    async def client(self, connection_id: UUID, *, ask_again: bool = False) -> SalesforceClient:
        """The client of a connection.

        Args:
            ask_again: Do not go on with the token in hand, even if the org has not refused it.

        Raises:
            HoldfastError: What `connections` says if it has no token to give.
        """
        async with self._opening:
            if connection_id in self._clients:
                if ask_again:
                    await self._tokens[connection_id].ask_again()
            else:
                access, version = await self._connections.access(connection_id, None)
                token = self._tokens[connection_id] = _Token(self._connections, connection_id, access)
                self._clients[connection_id] = SalesforceClient(
                    token,
                    observer=_Observer(self.ledger, connection_id),
                    clock=self._clock,
                    api_version=version,
                    concurrency=self._concurrency,
                    allow_insecure=self._allow_insecure,
                )
            return self._clients[connection_id]

    async def access(self, connection_id: UUID) -> Access:
        """The token that the connection's client uses now."""
        await self.client(connection_id)
        return await self._tokens[connection_id].access()

    async def close(self) -> None:
        """Report what is left and close every connection."""
        await self.ledger.report()
        for client in self._clients.values():
            await client.aclose()
        self._clients.clear()
