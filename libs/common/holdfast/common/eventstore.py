"""The event store: facts per stream, appended with the version that the writer has seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, Generic, NamedTuple, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.folds import Fold
from holdfast.common.meta import Meta
from holdfast.common.postgres import Database, Queries, Record, UniqueViolationError, Unit

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
    rows = await source.fetch(_queries.load_stream, stream, 1)
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

    Of a stream that this process has handled before, only what came since is read, with the last event known: it says
    whether the stream is still the same one, which it is not once a backup of the database was restored.

    Raises:
        HoldfastError: What `decide` raises; CONFLICT `stream-moved` when the unit must be run again.
    """
    state, version = await _folded(unit, decider, stream)
    events = decider.decide(command, state)
    if events:
        version = await append(unit, stream, version, events, meta)
        state = decider.fold(events, state)
    return Handled(state, events, version)


async def _folded(unit: Unit, decider: Decider[C, S, E], stream: str) -> tuple[S, int]:
    """A stream's state and version now; remembered once the unit is durable."""
    known = unit.folds.get(stream)
    rows = await unit.fetch(_queries.load_stream, stream, known.version if known else 1)
    if known and not (rows and _witness(rows[0]) == known.witness):
        known, rows = None, await unit.fetch(_queries.load_stream, stream, 1)
    if not rows:
        return decider.initial(), 0
    new = rows[1:] if known else rows
    history: list[E] = [decider.types.decode(row["type"], row["payload"]) for row in new]  # type: ignore[misc]  # E only
    fold = Fold(rows[-1]["version"], _witness(rows[-1]), decider.fold(history, known.state if known else None))
    unit.after_commit(lambda: unit.folds.put(stream, fold))
    return fold.state, fold.version


def _witness(row: Record) -> tuple[object, ...]:
    return (row["version"], row["type"], row["payload"], row["occurred_at"], row["correlation_id"], row["causation_id"])


def _moved(stream: str, expected: int) -> HoldfastError:
    return HoldfastError(
        Kind.CONFLICT,
        "Someone else changed this at the same moment; try again.",
        code="stream-moved",
        detail=f"stream {stream} is no longer at version {expected}",
    )
