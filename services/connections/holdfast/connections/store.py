"""Reads and writes of this service's tables. Statements are in `queries.sql`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from holdfast.common.postgres import Database, Queries, Record, Unit
from holdfast.connections.domain import ConnectionAdded, Flow, Survey
from holdfast.connections.envelope import Sealed

SQL = Queries.load("holdfast.connections")
Reader = Database | Unit


@dataclass(frozen=True)
class ConnectionRow:
    """A connection as its events left it, with the budget of its org (0 where it is not known yet)."""

    connection_id: UUID
    name: str
    login_url: str
    instance_url: str
    flow: Flow
    client_id: str
    organization_id: str
    organization_name: str
    username: str
    api_version: str
    warnings: tuple[str, ...]
    broken_reason: str | None
    refused_at: datetime | None
    added_at: datetime
    used_calls: int
    limit_calls: int


async def insert_connection(unit: Unit, event: ConnectionAdded, sealed: Sealed, at: datetime) -> bool:
    """Keep a connection and its credentials; False if the name is taken."""
    survey = event.survey
    kept = await unit.fetchval(
        SQL.insert_connection,
        event.connection_id,
        event.name,
        event.login_url,
        event.instance_url,
        event.flow,
        event.client_id,
        event.organization_id,
        survey.organization_name,
        survey.username,
        survey.api_version,
        list(survey.warnings),
        at,
    )
    if kept is None:
        return False
    await unit.execute(SQL.insert_credential, event.connection_id, *sealed)
    return True


async def get_connection(reader: Reader, connection_id: UUID) -> ConnectionRow | None:
    """A connection by id."""
    row = await reader.fetchrow(SQL.get_connection, connection_id)
    return None if row is None else _connection(row)


async def find_connection(reader: Reader, id_or_name: str) -> UUID | None:
    """The id of the connection with that id or name."""
    try:
        connection_id = UUID(id_or_name)
    except ValueError:
        connection_id = None
    found: UUID | None = await reader.fetchval(SQL.find_connection, connection_id, id_or_name)
    return found


async def list_connections(reader: Reader, after_name: str, limit: int) -> list[ConnectionRow]:
    """Connections in order of name, from behind `after_name`."""
    return [_connection(row) for row in await reader.fetch(SQL.list_connections, after_name, limit)]


async def get_credential(reader: Reader, connection_id: UUID) -> Sealed | None:
    """The sealed credentials of a connection."""
    row = await reader.fetchrow(SQL.get_credential, connection_id)
    return None if row is None else Sealed(*row)


async def mark_broken(unit: Unit, connection_id: UUID, reason: str) -> None:
    """The credentials are refused, or lead to another org."""
    await unit.execute(SQL.mark_broken, connection_id, reason)


async def note_refusal(unit: Unit, connection_id: UUID, at: datetime | None) -> None:
    """The credentials were refused just now, for the first time or again; None: accepted, by another org."""
    await unit.execute(SQL.note_refusal, connection_id, at)


async def mark_recovered(unit: Unit, connection_id: UUID) -> None:
    """The credentials are accepted again."""
    await unit.execute(SQL.mark_recovered, connection_id)


async def move_connection(unit: Unit, connection_id: UUID, instance_url: str) -> None:
    """The org answers at another address."""
    await unit.execute(SQL.move_connection, connection_id, instance_url)


async def survey_connection(unit: Unit, connection_id: UUID, survey: Survey) -> None:
    """What the org says of itself has changed."""
    await unit.execute(
        SQL.survey_connection,
        connection_id,
        survey.organization_name,
        survey.username,
        survey.api_version,
        list(survey.warnings),
    )


async def add_calls(unit: Unit, organization_id: str, at: datetime, calls: int) -> None:
    """Count our own calls."""
    await unit.execute(SQL.add_calls, organization_id, at, calls)


async def observe_budget(
    unit: Unit,
    organization_id: str,
    *,
    used_calls: int,
    limit_calls: int,
    observed_at: datetime,
    at: datetime,
    interval: timedelta,
) -> bool:
    """Keep what the org said, unless more is known since; True when `interval` has passed since others were told."""
    return bool(
        await unit.fetchval(SQL.observe_budget, organization_id, used_calls, limit_calls, at, interval, observed_at)
    )


def _connection(row: Record) -> ConnectionRow:
    values = dict(row)
    return ConnectionRow(**{**values, "warnings": tuple(values["warnings"])})
