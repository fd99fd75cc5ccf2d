"""Ways to the orgs: a client per connection, tokens from `connections`, and the calls reported back."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

import structlog

from holdfast.common.clock import Clock
from holdfast.common.errors import HoldfastError
from holdfast.extractor.budget import Exhausted, Gate, Granted, Wish
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

    async def report(self, connection_id: UUID, caller: str, report: Report) -> None:
        """Add calls to the org's ledger; what the caller still holds of its grant holds on."""

    async def reserve(self, wish: Wish) -> Granted:
        """Ask for calls of the org's budget."""


@dataclass
class Report:
    """What happened since the last one.

    Attributes:
        usage: What the org last said, at `observed_at`.
        exhausted: What the org refused because it is used up.
    """

    calls: int = 0
    usage: Usage | None = None
    observed_at: datetime | None = None
    exhausted: Exhausted = ""


class UsageLedger:
    """Collects calls and hands them on in batches: never one report per call."""

    def __init__(self, connections: Connections, clock: Clock, caller: str) -> None:
        self._connections = connections
        self._clock = clock
        self._caller = caller
        self._waiting: dict[UUID, Report] = {}
        self._sending = asyncio.Lock()
        self.gates: dict[UUID, Gate] = {}
        self._newest: dict[UUID, Usage] = {}

    def called(self, connection_id: UUID, usage: Usage | None) -> None:
        """Note one call."""
        counter = _counter.get()
        if counter is not None:
            counter.calls += 1
        waiting = self._waiting.setdefault(connection_id, Report())
        waiting.calls += 1
        if usage is not None:
            waiting.usage, waiting.observed_at = usage, self._clock.now()
            self._newest[connection_id] = usage

    def exhausted(self, connection_id: UUID, what: Exhausted) -> None:
        """Note that the org refused a call because something is used up."""
        self._waiting.setdefault(connection_id, Report()).exhausted = what

    def unreported(self, connection_id: UUID) -> int:
        """Calls that are not handed on yet."""
        waiting = self._waiting.get(connection_id)
        return waiting.calls if waiting else 0

    async def reserve(self, wish: Wish) -> Granted:
        """Ask for calls of an org's budget."""
        return await self._connections.reserve(wish)

    def percent_used(self, connection_id: UUID) -> float:
        """The share of the org's daily calls that is used, as its newest answer said; 0 before any did."""
        usage = self._newest.get(connection_id)
        return 100 * usage.used_calls / usage.limit_calls if usage and usage.limit_calls else 0.0

    async def report(self) -> bool:
        """Hand on what has come together. What cannot be handed on waits for the next time.

        Returns:
            False: there is nothing more to do until the next time.
        """
        async with self._sending:
            batch, self._waiting = self._waiting, {}
            for connection_id, waiting in batch.items():
                asked_at = self._clock.monotonic()
                try:
                    await self._connections.report(connection_id, self._caller, waiting)
                except HoldfastError as error:
                    log.warning("usage_not_reported", connection=str(connection_id), error=error.message)
                    self._again(connection_id, waiting)
                    continue
                if connection_id in self.gates:
                    self.gates[connection_id].renewed(asked_at)
        return False

    def _again(self, connection_id: UUID, left: Report) -> None:
        """What could not be handed on goes before what came since."""
        later = self._waiting.get(connection_id, Report())
        self._waiting[connection_id] = Report(
            calls=left.calls + later.calls,
            usage=later.usage or left.usage,
            observed_at=later.observed_at or left.observed_at,
            exhausted=later.exhausted or left.exhausted,
        )


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

    def __init__(
        self, connections: Connections, clock: Clock, *, caller: str, concurrency: int, allow_insecure: bool
    ) -> None:
        """Make the ways.

        Args:
            caller: The name by which the orgs' ledgers know this process; no other running process has it.
        """
        self.ledger = UsageLedger(connections, clock, caller)
        self._caller = caller
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
                gate = Gate(self.ledger, self._clock, connection_id, self._caller, self._concurrency)
                self.ledger.gates[connection_id] = gate
                token = self._tokens[connection_id] = _Token(self._connections, connection_id, access)
                self._clients[connection_id] = SalesforceClient(
                    token,
                    observer=_Observer(self.ledger, connection_id),
                    clock=self._clock,
                    api_version=version,
                    concurrency=self._concurrency,
                    allow_insecure=self._allow_insecure,
                    gate=gate,
                )
            return self._clients[connection_id]

    def said_of_version(self, connection_id: UUID) -> list[str]:
        """What people should know of the API version: that the one of the connection is retired, if it is."""
        client = self._clients.get(connection_id)
        if client is None or client.retired is None:
            return []
        return [
            f"Salesforce no longer offers API version {client.retired}; this run speaks {client.api_version}. "
            "Test the connection, so that later runs begin with it."
        ]

    async def access(self, connection_id: UUID) -> Access:
        """The token that the connection's client uses now."""
        await self.client(connection_id)
        return await self._tokens[connection_id].access()

    async def close(self) -> None:
        """Report what is left, give back what is held, and close every connection."""
        await self.ledger.report()
        for gate in self.ledger.gates.values():
            await gate.close()
        self.ledger.gates.clear()
        for client in self._clients.values():
            await client.aclose()
        self._clients.clear()
