"""A message that was set aside and comes again from Kafka: nobody may take it for handled."""

from __future__ import annotations

from uuid import uuid4

import pytest

from holdfast.common import cloudevents, parked
from holdfast.common.clock import SystemClock
from holdfast.common.consuming import Route, TopicConsumer
from holdfast.common.contracts.connections import ConnectionAdded
from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.failpoints import durable_step
from holdfast.common.meta import Meta
from holdfast.common.parked import Incoming
from holdfast.common.postgres import Database, Unit

pytestmark = pytest.mark.integration
HANDLE = durable_step("test.redelivered")


def incoming(event: ConnectionAdded, meta: Meta, number: int) -> Incoming:
    """The message as the relay sends it, at the offset of its number."""
    headers = cloudevents.event_headers(event, meta)
    headers |= {
        "ce_id": str(cloudevents.message_id(event.topic(), event.key(), number)),
        "ce_sequence": str(number),
    }
    pairs = tuple(cloudevents.to_kafka(headers))
    return Incoming(event.topic(), 0, number, event.key().encode(), event.model_dump_json().encode(), pairs)


async def test_a_parked_message_that_comes_again_can_still_be_replayed_once(db: Database, meta: Meta) -> None:
    event = ConnectionAdded(connection_id=uuid4(), name="org", organization_id="00D", instance_url="https://x")
    handled: list[str] = []
    errors = [HoldfastError(Kind.INVALID, "not now")]

    async def handler(unit: Unit, event: ConnectionAdded, meta: Meta) -> None:
        if errors:
            raise errors.pop()
        unit.after_commit(lambda: handled.append(event.name))

    consumer = TopicConsumer("svc", event.topic(), db, SystemClock())
    consumer.add(Route(ConnectionAdded, handler, HANDLE))
    message = incoming(event, meta, 1)
    await consumer.on_message(message)
    await consumer.on_message(message)  # its offset was not committed, or the relay sent it twice
    (waiting,) = await parked.list_parked(db)
    await parked.replay(db, waiting.id)
    await consumer.replay(waiting.id)
    assert handled == ["org"]
    await consumer.on_message(message)
    assert handled == ["org"]
    assert await parked.list_parked(db) == []
