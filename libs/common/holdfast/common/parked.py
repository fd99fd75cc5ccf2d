"""Messages set aside because they cannot be handled: list, replay, drop."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

import orjson

from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.failpoints import durable_step
from holdfast.common.postgres import Database, Queries, Unit

REPLAY_ASKED = durable_step("common.parked_replay_asked")
DROPPED = durable_step("common.parked_dropped")
_queries = Queries.load("holdfast.common")


class Incoming(NamedTuple):
    """A message as it came from Kafka."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


class Parked(NamedTuple):
    """A parked message, without its payload."""

    id: int
    consumer: str
    topic: str
    partition: int
    offset: int
    type: str | None
    reason: str
    parked_at: datetime


async def park(unit: Unit, consumer: str, message: Incoming, type_name: str | None, reason: str) -> None:
    """Keep the message whole, with the reason; the same message twice is kept once."""
    await unit.execute(
        _queries.park,
        consumer,
        message.topic,
        message.partition,
        message.offset,
        message.key,
        message.value,
        headers_to_json(message.headers),
        type_name,
        reason[:2000].replace("\0", "\\0"),
    )


async def list_parked(db: Database, limit: int = 200) -> list[Parked]:
    """Messages that wait for a decision, oldest first."""
    rows = await db.fetch(_queries.parked_list, limit)
    return [
        Parked(
            row["id"],
            row["consumer"],
            row["topic"],
            row["kafka_partition"],
            row["kafka_offset"],
            row["type"],
            row["reason"],
            row["parked_at"],
        )
        for row in rows
    ]


async def replay(db: Database, parked_id: int) -> None:
    """Have the service handle the message again; it does so within seconds, or when it next starts.

    Raises:
        HoldfastError: NOT_FOUND when there is no such message waiting.
    """
    async with db.unit(REPLAY_ASKED) as unit:
        await _settle(unit, parked_id, "replaying")


async def drop(db: Database, parked_id: int) -> None:
    """Decide that the message is never handled; it stays in the table as dropped.

    Raises:
        HoldfastError: NOT_FOUND when there is no such message waiting.
    """
    async with db.unit(DROPPED) as unit:
        await _settle(unit, parked_id, "dropped")


async def load_parked(unit: Unit, parked_id: int) -> Incoming | None:
    """The message, its row locked until the unit ends; None when it is not to be replayed."""
    row = await unit.fetchrow(_queries.parked_get, parked_id)
    if row is None or row["state"] != "replaying":
        return None
    return Incoming(
        row["topic"],
        row["kafka_partition"],
        row["kafka_offset"],
        row["message_key"],
        row["payload"],
        headers_from_json(row["headers"]),
    )


async def _settle(unit: Unit, parked_id: int, state: str) -> None:
    if await unit.fetchval(_queries.parked_settle, parked_id, state, ["parked"]) is None:
        raise HoldfastError(Kind.NOT_FOUND, f"No message {parked_id} is parked here.", code="parked-missing")


def headers_to_json(headers: Iterable[tuple[str, bytes]]) -> str:
    """Headers as a table keeps them."""
    # Latin-1 maps every byte, so a header that is not text comes back as it was.
    pairs = [[name, (value or b"").decode("latin-1")] for name, value in headers]
    return orjson.dumps(pairs).decode()


def headers_from_json(text: str) -> tuple[tuple[str, bytes], ...]:
    """The reverse of `headers_to_json`."""
    return tuple((name, value.encode("latin-1")) for name, value in orjson.loads(text))
