"""What a consumer has seen: each message once, each key in order, in the transaction of the effect."""

from __future__ import annotations

from enum import Enum

from holdfast.common.cloudevents import Envelope
from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.postgres import Queries, Unit

_queries = Queries.load("holdfast.common")


class Verdict(Enum):
    """What to do with a message."""

    FRESH = "fresh"  # handle it
    DUPLICATE = "duplicate"  # seen before: acknowledge, do nothing


class GapError(HoldfastError):
    """A message came before its predecessor, which may be on another partition, or lost."""

    def __init__(self, topic: str, key: str, seen: int, number: int) -> None:
        super().__init__(
            Kind.UNAVAILABLE,
            f"Message {number} of {topic} {key!r} came while {seen + 1} is still missing.",
            code="message-gap",
        )


async def accept(unit: Unit, consumer: str, topic: str, envelope: Envelope) -> Verdict:
    """Record the message as seen.

    Raises:
        GapError: A message of this key with a lower number has not been seen.
    """
    # The guard comes first: it also is past a parked message, whose inbox row may only come with its effect.
    if not await advance(unit, consumer, topic, envelope):
        return Verdict.DUPLICATE
    fresh = await unit.fetchval(_queries.inbox_insert, consumer, envelope.id)
    return Verdict.DUPLICATE if fresh is None else Verdict.FRESH


async def advance(unit: Unit, consumer: str, topic: str, envelope: Envelope) -> bool:
    """Move the guard of (topic, key) to this message's number.

    Returns:
        False when the guard is there or further already.

    Raises:
        GapError: The guard is more than one behind.
    """
    moved = await unit.fetchval(_queries.advance_seen, consumer, topic, envelope.key, envelope.number)
    if moved is not None:
        return True
    seen = await unit.fetchval(_queries.seen_number, consumer, topic, envelope.key) or 0
    if envelope.number <= seen:
        return False
    raise GapError(topic, envelope.key, seen, envelope.number)
