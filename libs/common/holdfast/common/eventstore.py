"""The event store: facts per stream, appended with the version that the writer has seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Generic, NamedTuple, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.meta import Meta
from holdfast.common.postgres import Database, Queries, UniqueViolationError, Unit

C = TypeVar("C")
S = TypeVar("S")
E = TypeVar("E", bound="DomainEvent")
_queries = Queries.load("holdfast.common")


class DomainEvent(BaseModel):
    """A fact of one service, in its own words; public events are another matter.

    Attributes:
        TYPE: Stable name in the store; the class may be renamed, the name may not.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    TYPE: ClassVar[str]


class Stored(NamedTuple):
    """An event as it was read from the store."""

    stream: str
    version: int
    event: DomainEvent
    occurred_at: datetime
    correlation_id: UUID
    causation_id: UUID | None


class EventTypes:
    """The closed set of events that a stream may hold, for decoding."""

    def __init__(self, *types: type[DomainEvent]) -> None:
        self._types = {event.TYPE: event for event in types}
        if len(self._types) != len(types):
            raise ValueError("two events share a TYPE")

    def decode(self, type_name: str, payload: str) -> DomainEvent:
        """The event of a stored row.

        Raises:
            HoldfastError: DAMAGED for a type this code does not know or a payload it cannot read.
        """
        event_type = self._types.get(type_name)
        if event_type is None:
            raise HoldfastError(Kind.DAMAGED, f"The event store holds an unknown event {type_name!r}.")
        try:
            return event_type.model_validate_json(payload)
        except ValueError as error:
            raise HoldfastError(
                Kind.DAMAGED, f"The event store holds an unreadable {type_name!r}.", detail=str(error)
            ) from error


async def append(unit: Unit, stream: str, expected_version: int, events: Sequence[DomainEvent], meta: Meta) -> int:
    """Add facts behind `expected_version` (0 for a new stream).

    Returns:
        The stream's new version.

    Raises:
        HoldfastError: CONFLICT with code `stream-moved` when someone else appended first; the unit must then
            be run again from its read (`Database.run` does that).
    """
    current = await unit.fetchval(_queries.stream_version, stream)
    if current != expected_version:
        raise _moved(stream, expected_version)
    version = expected_version
    for event in events:
        version += 1
        try:
            await unit.execute(
                _queries.append_event,
                stream,
                version,
                event.TYPE,
                event.model_dump_json(),
                meta.correlation_id,
                meta.causation_id,
                meta.actor,
            )
        except UniqueViolationError as error:
            raise _moved(stream, expected_version) from error
    return version


async def load(source: Database | Unit, stream: str, types: EventTypes) -> list[Stored]:
    """A stream's events in order; empty for a stream that does not exist."""
    rows = await source.fetch(_queries.load_stream, stream)
    return [
        Stored(
            row["stream"],
            row["version"],
            types.decode(row["type"], row["payload"]),
            row["occurred_at"],
            row["correlation_id"],
            row["causation_id"],
        )
        for row in rows
    ]


@dataclass(frozen=True)
class Decider(Generic[C, S, E]):
    """A pure core: `decide` says what follows from a command, `evolve` what a fact does to the state."""

    initial: Callable[[], S]
    decide: Callable[[C, S], list[E]]
    evolve: Callable[[S, E], S]
    types: EventTypes

    def fold(self, events: Sequence[E], state: S | None = None) -> S:
        """The state after `events`."""
        folded = self.initial() if state is None else state
        for event in events:
            folded = self.evolve(folded, event)
        return folded


class Handled(NamedTuple, Generic[S, E]):
    """What came of a command: the new state, the new facts, the stream's version."""

    state: S
    events: list[E]
    version: int


async def handle(unit: Unit, decider: Decider[C, S, E], stream: str, command: C, meta: Meta) -> Handled[S, E]:
    """Load, decide, append. A command that changes nothing yields no events and writes nothing.

    Raises:
        HoldfastError: What `decide` raises; CONFLICT `stream-moved` when the unit must be run again.
    """
    stored = await load(unit, stream, decider.types)
    history: list[E] = [item.event for item in stored]  # type: ignore[misc]  # types decodes E only
    state = decider.fold(history)
    events = decider.decide(command, state)
    version = len(stored)
    if events:
        version = await append(unit, stream, version, events, meta)
        state = decider.fold(events, state)
    return Handled(state, events, version)


def _moved(stream: str, expected: int) -> HoldfastError:
    return HoldfastError(
        Kind.CONFLICT,
        "Someone else changed this at the same moment; try again.",
        code="stream-moved",
        detail=f"stream {stream} is no longer at version {expected}",
    )
