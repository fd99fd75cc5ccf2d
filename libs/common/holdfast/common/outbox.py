"""Public events on their way out: written in the transaction of their cause, sent by the relay."""

from __future__ import annotations

from datetime import datetime

import orjson

from holdfast.common.cloudevents import event_headers
from holdfast.common.contracts.base import PublicEvent
from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.failpoints import durable_step
from holdfast.common.meta import Meta
from holdfast.common.postgres import Database, Queries, Unit

RESENT = durable_step("common.outbox_resent")
RESEND_ROWS = 20_000
MAX_PAYLOAD_BYTES = 262_144
_queries = Queries.load("holdfast.common")


async def enqueue(unit: Unit, event: PublicEvent, meta: Meta) -> None:
    """Have `event` published once the unit is durable, in order per (topic, key).

    Raises:
        HoldfastError: TOO_LARGE. Size is checked here so that an oversized message can never block the relay;
            large data goes by reference.
    """
    payload = event.model_dump_json().encode()
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise HoldfastError(
            Kind.TOO_LARGE,
            f"The event {event.TYPE} is larger than {MAX_PAYLOAD_BYTES} bytes.",
            code="event-too-large",
        )
    headers = orjson.dumps(event_headers(event, meta)).decode()
    await unit.execute(_queries.enqueue, event.topic(), event.key(), payload, headers)
    unit.after_commit(unit.outbox_signal.set)


async def resend(db: Database, since: datetime | None = None) -> int:
    """Have events published again that Kafka has lost, in their order; readers drop those that they know.

    Only what the relay still keeps can be sent again: a week from its publication. A resend that was
    interrupted is completed by another one.

    Args:
        db: Of the publishing service.
        since: Only what was published since then; None for all that is kept.

    Returns:
        How many events will be sent again.
    """
    total, last = 0, 0
    while True:
        async with db.unit(RESENT) as unit:
            ids = [row["id"] for row in await unit.fetch(_queries.resend, since, last, RESEND_ROWS)]
        if not ids:
            return total
        total, last = total + len(ids), max(ids)
