"""What tests of the bus share: events to publish, a handler that can fail, and bytes that are not ours."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID

from aiokafka import AIOKafkaProducer

from holdfast.common import cloudevents
from holdfast.common.contracts.connections import ConnectionAdded
from holdfast.common.failpoints import durable_step
from holdfast.common.messaging import Bus
from holdfast.common.meta import Meta
from holdfast.common.outbox import enqueue
from holdfast.common.postgres import Database, Unit
from holdfast.common.settings import Settings

PUBLISH = durable_step("test.published")
HANDLE = durable_step("test.handled")
FEED = durable_step("test.fed")
MakeBus = Callable[..., Bus]


def added(connection_id: UUID, name: str = "org") -> ConnectionAdded:
    return ConnectionAdded(connection_id=connection_id, name=name, organization_id="00D", instance_url="https://x")


async def publish(db: Database, meta: Meta, *events: Any) -> None:
    async with db.unit(PUBLISH) as unit:
        for event in events:
            await enqueue(unit, event, meta)


async def until(condition: Callable[[], Any], within_s: float = 20.0) -> None:
    """Wait for `condition` (plain or awaitable) to hold."""
    async with asyncio.timeout(within_s):
        while True:
            result = condition()
            if asyncio.iscoroutine(result):
                result = await result
            if result:
                return
            await asyncio.sleep(0.02)


class Seen:
    """A handler that writes what it gets into a table, and fails as told."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.metas: list[Meta] = []
        self.errors: list[Exception] = []
        self.calls = 0

    async def __call__(self, unit: Unit, event: Any, meta: Meta) -> None:
        self.calls += 1
        await unit.execute("INSERT INTO effect (what) VALUES ($1)", event.model_dump_json())
        if self.errors:
            raise self.errors.pop(0)
        unit.after_commit(lambda: self.events.append(event))
        unit.after_commit(lambda: self.metas.append(meta))


async def send_raw(
    producer: AIOKafkaProducer, settings: Settings, number: int, event: Any, meta: Meta, **changes: bytes
) -> None:
    """A message as the relay would send it, with headers changed."""
    identity = cloudevents.message_id(event.topic(), event.key(), number)
    headers = cloudevents.event_headers(event, meta)
    headers |= {"ce_id": str(identity), "ce_sequence": str(number)}
    pairs = dict(cloudevents.to_kafka(headers)) | changes
    await producer.send_and_wait(
        settings.on_kafka(event.topic()),
        key=event.key().encode(),
        value=event.model_dump_json().encode(),
        headers=list(pairs.items()),
    )


async def effects(db: Database) -> int:
    return int(await db.fetchval("SELECT count(*) FROM effect"))
