"""Messages that came before their predecessor: set aside, and handled once it has been.

The predecessor may be on another partition, or Kafka has lost it. In the second case it comes again behind
this message, on the same partition (`holdfast outbox resend`): who waited in place would wait for ever.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import NamedTuple, Protocol

import structlog

from holdfast.common.clock import Clock
from holdfast.common.cloudevents import Envelope
from holdfast.common.errors import HoldfastError
from holdfast.common.failpoints import durable_step
from holdfast.common.parked import Incoming, headers_from_json, headers_to_json
from holdfast.common.postgres import Database, Queries, Record, Unit

SET_ASIDE = durable_step("common.message_set_aside")
SETTLED = durable_step("common.early_settled")
POLL = timedelta(seconds=2)
# A predecessor on another partition is minutes behind at most; after that Kafka has lost it.
LOST_AFTER = timedelta(minutes=5)
MOST_NAMED = 20
_queries = Queries.load("holdfast.common")
log = structlog.get_logger(__name__)


class Missing(NamedTuple):
    """A message that others of its key wait for."""

    topic: str
    key: str
    number: int
    waited: timedelta

    @property
    def lost(self) -> bool:
        """Whether it is too late to be on its way."""
        return self.waited > LOST_AFTER

    def __str__(self) -> str:
        minutes = self.waited // timedelta(minutes=1)
        service = self.topic.split(".")[1] if "." in self.topic else self.topic
        return (
            f"{self.topic} {self.key!r}: message {self.number} has been missing for {minutes} min. "
            f"If Kafka has lost it, run 'holdfast outbox resend {service}'."
        )


class Handles(Protocol):
    """The consumer of a topic."""

    async def on_early(self, message: Incoming) -> bool:
        """Handle a message whose predecessor has been handled; False to be asked again later."""


async def set_aside(unit: Unit, consumer: str, message: Incoming, envelope: Envelope) -> None:
    """Keep the message until its predecessor has been handled; the same message twice is kept once."""
    await unit.execute(
        _queries.early_keep,
        consumer,
        message.topic,
        envelope.key,
        envelope.number,
        message.partition,
        message.offset,
        message.key,
        message.value,
        headers_to_json(message.headers),
    )


class EarlyMessages:
    """Handles what was set aside, key by key in order, and knows what is still missing."""

    def __init__(self, service: str, db: Database, clock: Clock, consumers: Mapping[str, Handles]) -> None:
        self._service = service
        self._db = db
        self._clock = clock
        self._consumers = consumers
        self.missing: list[Missing] = []

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                while await self._settle_one():
                    pass
                self._note(await self._find_missing())
            except HoldfastError as error:
                log.warning("early_failed", service=self._service, error=error.message, detail=error.detail)
            await self._clock.sleep(POLL)

    async def _settle_one(self) -> bool:
        row = await self._db.fetchrow(_queries.early_ready, self._service, list(self._consumers))
        if row is None or not await self._consumers[row["topic"]].on_early(_incoming(row)):
            return False
        async with self._db.unit(SETTLED) as unit:
            await unit.execute(_queries.early_settled, self._service, row["topic"], row["key"], row["number"])
        return True

    async def _find_missing(self) -> list[Missing]:
        rows = await self._db.fetch(_queries.early_missing, self._service, MOST_NAMED)
        return [Missing(row["topic"], row["key"], row["number"], row["waited"]) for row in rows]

    def _note(self, found: list[Missing]) -> None:
        said = {each[:3] for each in self.missing if each.lost}
        for each in found:
            if each.lost and each[:3] not in said:
                log.error("message_missing", service=self._service, reason=str(each))
        self.missing = found


def _incoming(row: Record) -> Incoming:
    headers = headers_from_json(row["headers"])
    return Incoming(
        row["topic"], row["kafka_partition"], row["kafka_offset"], row["message_key"], row["payload"], headers
    )
