"""Public events on their way out: written in the transaction of their cause, sent by the relay."""

from __future__ import annotations

import orjson

from holdfast.common.cloudevents import event_headers
from holdfast.common.contracts.base import PublicEvent
from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.meta import Meta
from holdfast.common.postgres import Queries, Unit

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
