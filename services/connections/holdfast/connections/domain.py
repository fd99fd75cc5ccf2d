"""What a connection may become. Secrets have no place here: events are kept for ever."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.eventstore import Decider, DomainEvent, EventTypes

NAME_MAX_CHARS = 120
REASON_MAX_CHARS = 500

Flow = Literal["client_credentials", "jwt_bearer"]


class Survey(BaseModel):
    """What the org said about itself and the user at a sign-in.

    Attributes:
        api_version: Newest that both the org and Holdfast speak.
        warnings: Sentences about what the backup will miss with this user.
    """

    model_config = ConfigDict(frozen=True)

    organization_name: str
    username: str
    api_version: str
    warnings: tuple[str, ...]


# Commands


@dataclass(frozen=True)
class AddConnection:
    """Keep a connection whose credentials were just accepted."""

    connection_id: UUID
    name: str
    login_url: str
    instance_url: str
    flow: Flow
    client_id: str
    organization_id: str
    survey: Survey


@dataclass(frozen=True)
class MarkBroken:
    """Salesforce refused the credentials, or they lead to another org."""

    reason: str


@dataclass(frozen=True)
class NoteSignIn:
    """Salesforce accepted the credentials. `survey` is None where it was not asked for more than a token."""

    organization_id: str
    instance_url: str
    survey: Survey | None = None


Command = AddConnection | MarkBroken | NoteSignIn


# Events


class ConnectionAdded(DomainEvent):
    """An org can be reached; its organisation id is pinned to the connection for good."""

    TYPE: ClassVar[str] = "connection-added"
    connection_id: UUID
    name: str
    login_url: str
    instance_url: str
    flow: Flow
    client_id: str
    organization_id: str
    survey: Survey


class ConnectionBroken(DomainEvent):
    """The credentials are refused, or lead to another org."""

    TYPE: ClassVar[str] = "connection-broken"
    reason: str


class ConnectionRecovered(DomainEvent):
    """The credentials are accepted again."""

    TYPE: ClassVar[str] = "connection-recovered"


class ConnectionMoved(DomainEvent):
    """The org answers at another address."""

    TYPE: ClassVar[str] = "connection-moved"
    instance_url: str


class ConnectionSurveyed(DomainEvent):
    """What the org says of itself or of the user has changed."""

    TYPE: ClassVar[str] = "connection-surveyed"
    survey: Survey


Event = ConnectionAdded | ConnectionBroken | ConnectionRecovered | ConnectionMoved | ConnectionSurveyed


@dataclass(frozen=True)
class Connection:
    """State. `added` is None before the connection exists; `broken` is the reason while it is broken."""

    added: ConnectionAdded | None = None
    instance_url: str = ""
    survey: Survey | None = None
    broken: str | None = None


def decide(command: Command, state: Connection) -> list[Event]:
    """What follows from `command`; nothing if it was carried out before.

    Raises:
        HoldfastError: INVALID for a bad name; NOT_FOUND for a connection that does not exist; CONFLICT
            (`other-org`) if the credentials now lead to another org.
    """
    match command:
        case AddConnection():
            return _add(command, state)
        case MarkBroken():
            _existing(state)
            reason = command.reason[:REASON_MAX_CHARS]
            return [] if state.broken == reason else [ConnectionBroken(reason=reason)]
        case NoteSignIn():
            return _note(command, state, _existing(state))


def evolve(state: Connection, event: Event) -> Connection:
    """The state after `event`."""
    match event:
        case ConnectionAdded():
            return Connection(added=event, instance_url=event.instance_url, survey=event.survey)
        case ConnectionBroken():
            return replace(state, broken=event.reason)
        case ConnectionRecovered():
            return replace(state, broken=None)
        case ConnectionMoved():
            return replace(state, instance_url=event.instance_url)
        case ConnectionSurveyed():
            return replace(state, survey=event.survey)


CONNECTION: Decider[Command, Connection, Event] = Decider(
    initial=Connection,
    decide=decide,
    evolve=evolve,
    types=EventTypes(ConnectionAdded, ConnectionBroken, ConnectionRecovered, ConnectionMoved, ConnectionSurveyed),
)


def connection_stream(connection_id: UUID) -> str:
    """The stream of a connection."""
    return f"connection-{connection_id}"


def check_name(name: str) -> str:
    """The name as it is kept: without blanks around it.

    Raises:
        HoldfastError: INVALID, field `name`.
    """
    kept = name.strip()
    if not kept or not kept.isprintable():
        raise _bad_name("A connection needs a name of printable characters.")
    if len(kept) > NAME_MAX_CHARS:
        raise _bad_name(f"A connection's name has at most {NAME_MAX_CHARS} characters.")
    return kept


def _add(command: AddConnection, state: Connection) -> list[Event]:
    name = check_name(command.name)
    if state.added is not None:
        return []
    return [
        ConnectionAdded(
            connection_id=command.connection_id,
            name=name,
            login_url=command.login_url,
            instance_url=command.instance_url,
            flow=command.flow,
            client_id=command.client_id,
            organization_id=command.organization_id,
            survey=command.survey,
        )
    ]


def _note(command: NoteSignIn, state: Connection, added: ConnectionAdded) -> list[Event]:
    if command.organization_id != added.organization_id:
        raise HoldfastError(
            Kind.CONFLICT,
            f"This connection now answers as another org ({command.organization_id}) than the one it was "
            f"made for ({added.organization_id}). Add a new connection for that org.",
            code="other-org",
        )
    events: list[Event] = []
    if state.broken is not None:
        events.append(ConnectionRecovered())
    if command.instance_url != state.instance_url:
        events.append(ConnectionMoved(instance_url=command.instance_url))
    if command.survey is not None and command.survey != state.survey:
        events.append(ConnectionSurveyed(survey=command.survey))
    return events


def _existing(state: Connection) -> ConnectionAdded:
    if state.added is None:
        raise HoldfastError(Kind.NOT_FOUND, "There is no such connection.", code="unknown-connection")
    return state.added


def _bad_name(sentence: str) -> HoldfastError:
    return HoldfastError(Kind.INVALID, sentence, code="bad-name", field="name")
