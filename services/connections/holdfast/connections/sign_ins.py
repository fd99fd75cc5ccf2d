"""Sign-ins of stored connections, and what their outcome does to the connection."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import TypeVar
from uuid import UUID

from holdfast.common.clock import Clock, Ids
from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.failpoints import durable_step
from holdfast.common.meta import Meta
from holdfast.common.postgres import Database, Unit
from holdfast.connections import handlers, store
from holdfast.connections.domain import NoteSignIn
from holdfast.connections.envelope import Envelope
from holdfast.connections.org import Credentials, Introduction, Orgs, is_refusal
from holdfast.connections.store import ConnectionRow
from holdfast.salesforce.models import Access

BROKEN_MARKED = durable_step("connections.broken_marked")
SIGN_IN_NOTED = durable_step("connections.sign_in_noted")

T = TypeVar("T")


class SignIns:
    """Signs in with stored credentials. Refused ones are not tried again before their time."""

    def __init__(
        self,
        *,
        db: Database,
        orgs: Orgs,
        envelope: Envelope,
        clock: Clock,
        ids: Ids,
        broken_pause: timedelta,
    ) -> None:
        self._db = db
        self._orgs = orgs
        self._envelope = envelope
        self._clock = clock
        self._ids = ids
        self._broken_pause = broken_pause

    async def sign_in(self, connection_id: UUID) -> Access:
        """A fresh token for a connection that may be used.

        Raises:
            HoldfastError: NOT_FOUND; INVALID (`connection-broken`) without asking Salesforce while the
                credentials are known to be refused; what Salesforce, or the way to it, says.
        """
        row = await self.connection(connection_id)
        self._refuse_while_broken(row)
        access = await self._tried(row, self._orgs.sign_in)
        await self._note(row, NoteSignIn(access.organization_id, access.instance_url))
        return access

    async def introduce(self, connection_id: UUID) -> Introduction:
        """Sign in anew because someone asks, and ask the org who it is.

        Raises:
            HoldfastError: As `sign_in`, but a broken connection is tried.
        """
        row = await self.connection(connection_id)
        found = await self._tried(row, self._orgs.introduce)
        access = found.access
        await self._note(row, NoteSignIn(access.organization_id, access.instance_url, found.survey))
        return found

    async def connection(self, connection_id: UUID) -> ConnectionRow:
        """The stored connection.

        Raises:
            HoldfastError: NOT_FOUND.
        """
        row = await store.get_connection(self._db, connection_id)
        if row is None:
            raise unknown_connection(str(connection_id))
        return row

    def _refuse_while_broken(self, row: ConnectionRow) -> None:
        if row.broken_reason is None or row.refused_at is None:
            return
        if self._clock.now() < row.refused_at + self._broken_pause:
            raise HoldfastError(
                Kind.INVALID,
                f"The connection “{row.name}” is broken: {row.broken_reason} "
                "Mend it in Salesforce, then test the connection.",
                code="connection-broken",
            )

    async def _tried(self, row: ConnectionRow, attempt: Callable[[Credentials], Awaitable[T]]) -> T:
        try:
            return await attempt(await self._credentials(row))
        except HoldfastError as error:
            if is_refusal(error):
                await self._mark_broken(row, error, refused_at=self._clock.now())
            raise

    async def _credentials(self, row: ConnectionRow) -> Credentials:
        sealed = await store.get_credential(self._db, row.connection_id)
        if sealed is None:
            raise unknown_connection(str(row.connection_id))
        secret = self._envelope.open(row.connection_id, sealed)
        return Credentials(row.flow, row.login_url, row.client_id, row.username, secret)

    async def _note(self, row: ConnectionRow, command: NoteSignIn) -> None:
        async def work(unit: Unit) -> None:
            await handlers.note_sign_in(unit, row.connection_id, command, self._meta())

        try:
            await self._db.run(SIGN_IN_NOTED, work)
        except HoldfastError as error:
            if error.code == "other-org":
                # Nothing was refused that could lock a user out: the next to ask tries, and finds the way mended.
                await self._mark_broken(row, error, refused_at=None)
            raise

    async def _mark_broken(self, row: ConnectionRow, error: HoldfastError, *, refused_at: datetime | None) -> None:
        async def work(unit: Unit) -> None:
            await handlers.mark_broken(unit, row.connection_id, error.message, self._meta(), refused_at)

        await self._db.run(BROKEN_MARKED, work)

    def _meta(self) -> Meta:
        return Meta(correlation_id=self._ids.new(), causation_id=None, actor="service:connections")


def unknown_connection(id_or_name: str) -> HoldfastError:
    """The error that names a connection that does not exist."""
    return HoldfastError(Kind.NOT_FOUND, f"There is no connection “{id_or_name[:120]}”.", code="unknown-connection")
