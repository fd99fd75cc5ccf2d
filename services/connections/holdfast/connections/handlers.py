"""One function per use case: load, decide, append, and the read models in the same unit. None commits."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from holdfast.common import outbox
from holdfast.common.contracts import connections as public
from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.eventstore import handle
from holdfast.common.meta import Meta
from holdfast.common.postgres import Unit
from holdfast.connections import store
from holdfast.connections.domain import (
    CONNECTION,
    AddConnection,
    ConnectionAdded,
    ConnectionBroken,
    ConnectionMoved,
    ConnectionRecovered,
    ConnectionSurveyed,
    MarkBroken,
    NoteSignIn,
    connection_stream,
)
from holdfast.connections.envelope import Sealed


async def add_connection(unit: Unit, command: AddConnection, sealed: Sealed, meta: Meta, at: datetime) -> None:
    """Keep the connection and tell the others.

    Raises:
        HoldfastError: INVALID for a bad name; CONFLICT (`connection-name-taken`) naming the connection.
    """
    stream = connection_stream(command.connection_id)
    for event in (await handle(unit, CONNECTION, stream, command, meta)).events:
        if not isinstance(event, ConnectionAdded):
            continue
        if not await store.insert_connection(unit, event, sealed, at):
            raise HoldfastError(
                Kind.CONFLICT,
                f"There is already a connection named “{event.name}”. Choose another name.",
                code="connection-name-taken",
                field="name",
            )
        added = public.ConnectionAdded(
            connection_id=event.connection_id,
            name=event.name,
            organization_id=event.organization_id,
            instance_url=event.instance_url,
        )
        await outbox.enqueue(unit, added, meta)


async def mark_broken(unit: Unit, connection_id: UUID, reason: str, meta: Meta, refused_at: datetime | None) -> None:
    """The connection cannot be used. Others are told once of each reason; the time is kept every time.

    Args:
        refused_at: When the credentials were refused; None if they were accepted, by another org.
    """
    command = MarkBroken(reason)
    for event in (await handle(unit, CONNECTION, connection_stream(connection_id), command, meta)).events:
        if isinstance(event, ConnectionBroken):
            await store.mark_broken(unit, connection_id, event.reason)
            broken = public.ConnectionBroken(connection_id=connection_id, reason=event.reason)
            await outbox.enqueue(unit, broken, meta)
    await store.note_refusal(unit, connection_id, refused_at)


async def note_sign_in(unit: Unit, connection_id: UUID, command: NoteSignIn, meta: Meta) -> None:
    """The credentials were accepted.

    Raises:
        HoldfastError: CONFLICT (`other-org`) if they lead to another org than before.
    """
    for event in (await handle(unit, CONNECTION, connection_stream(connection_id), command, meta)).events:
        match event:
            case ConnectionRecovered():
                await store.mark_recovered(unit, connection_id)
                await outbox.enqueue(unit, public.ConnectionRecovered(connection_id=connection_id), meta)
            case ConnectionMoved():
                await store.move_connection(unit, connection_id, event.instance_url)
            case ConnectionSurveyed():
                await store.survey_connection(unit, connection_id, event.survey)
