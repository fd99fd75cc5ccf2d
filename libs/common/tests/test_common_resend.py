"""Kafka has lost messages that were marked as published: what waits for them, who says so, and what heals it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from aiokafka import AIOKafkaProducer
from bus_parts import HANDLE, PUBLISH, MakeBus, Seen, added, effects, publish, send_raw, until

from holdfast.common import early, outbox, parked
from holdfast.common.clock import SystemClock
from holdfast.common.contracts.connections import ConnectionAdded
from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.messaging import Bus
from holdfast.common.meta import Meta
from holdfast.common.outbox import resend
from holdfast.common.postgres import Database
from holdfast.common.settings import Settings

pytestmark = pytest.mark.integration


class Lossy:
    """A writer and a reader whose Kafka can lose everything: each Kafka is a prefix, a lost one is not used again."""

    def __init__(self, settings: Settings, db: Database, consumer_db: Database, seen: Seen) -> None:
        self._settings = settings.model_copy(update={"kafka_partitions": 1})  # all keys share what may be blocked
        self.db, self._consumer_db, self._seen = db, consumer_db, seen
        self.buses: list[Bus] = []

    async def start(self) -> Bus:
        """On an empty Kafka; the reader."""
        await self.stop()
        settings = self._settings.model_copy(update={"kafka_prefix": f"t{uuid4().hex[:8]}."})
        reader = Bus(settings, "reader", self._consumer_db, SystemClock())
        reader.consume(ConnectionAdded, self._seen, step=HANDLE)
        self.buses = [reader, Bus(settings, "svc", self.db, SystemClock())]
        for bus in self.buses:
            await bus.start()
        return reader

    async def stop(self) -> None:
        for bus in self.buses:
            await bus.stop()
        self.buses = []

    async def sent_and_lost(self, meta: Meta, *events: Any) -> None:
        """Published to a Kafka that is gone before anybody reads it."""
        await publish(self.db, meta, *events)
        async with self.db.unit(PUBLISH) as unit:
            await unit.execute("UPDATE outbox SET published_at = clock_timestamp() WHERE published_at IS NULL")


@pytest.fixture
async def lossy(kafka_settings: Settings, db: Database, consumer_db: Database, seen: Seen) -> Any:
    made = Lossy(kafka_settings, db, consumer_db, seen)
    yield made
    await made.stop()


def names(seen: Seen, key: UUID) -> list[str]:
    return [event.name for event in seen.events if event.connection_id == key]


async def _none(db: Database, query: str) -> bool:
    return not await db.fetch(query)


async def test_what_kafka_lost_is_sent_again_in_order_and_handled_once(
    lossy: Lossy, seen: Seen, meta: Meta, consumer_db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(early, "POLL", timedelta(milliseconds=50))
    await lossy.start()
    hurt, whole = uuid4(), uuid4()
    await publish(lossy.db, meta, added(hurt, "1"), added(hurt, "2"))
    await until(lambda: len(seen.events) == 2)
    await lossy.stop()
    await lossy.sent_and_lost(meta, added(hurt, "3"), added(hurt, "4"))
    reader = await lossy.start()
    await publish(lossy.db, meta, added(hurt, "5"), added(whole, "1"), added(hurt, "6"))

    await until(lambda: names(seen, whole) == ["1"])  # only the key waits, not its partition
    await until(lambda: bool(reader.liveness()["waiting"]))
    assert reader.liveness()["waiting"] == {f"{ConnectionAdded.topic()} {hurt}": 3}
    assert reader.liveness()["alive"]
    monkeypatch.setattr(early, "LOST_AFTER", timedelta(0))
    report = reader.liveness()
    assert not report["alive"] and not report["broken"], "a restart would bring nothing back"
    (reason,) = report["reasons"]  # type: ignore[misc]
    assert ConnectionAdded.topic() in reason and str(hurt) in reason
    assert "message 3" in reason and "'holdfast outbox resend connections'" in reason

    # A message is with its reader a moment before it is marked as sent, and only what is marked is sent again.
    unmarked = "SELECT 1 FROM outbox WHERE published_at IS NULL"
    await until(lambda: _none(lossy.db, unmarked))
    assert await resend(lossy.db) == 7
    await until(lambda: len(names(seen, hurt)) == 6)
    await until(lambda: reader.liveness()["alive"])
    assert names(seen, hurt) == ["1", "2", "3", "4", "5", "6"]
    assert await effects(consumer_db) == 7
    await until(lambda: _left(consumer_db, 0))
    assert await lossy.db.fetchval("SELECT count(*) FROM outbox WHERE published_at IS NULL") == 0


async def _left(db: Database, count: int) -> bool:
    return bool(await db.fetchval("SELECT count(*) FROM early") == count)


async def test_a_lost_last_message_comes_again_without_a_gap_to_show_it(lossy: Lossy, seen: Seen, meta: Meta) -> None:
    await lossy.sent_and_lost(meta, added(uuid4()))
    await lossy.start()
    assert await resend(lossy.db) == 1
    await until(lambda: len(seen.events) == 1)


async def test_only_what_was_published_since_a_time_is_sent_again_and_in_bounded_batches(
    lossy: Lossy, meta: Meta, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "RESEND_ROWS", 2)
    await lossy.sent_and_lost(meta, *(added(uuid4()) for _ in range(3)))
    now = datetime.now(UTC)
    await lossy.sent_and_lost(meta, *(added(uuid4()) for _ in range(5)))
    assert await resend(lossy.db, now) == 5
    waiting = await lossy.db.fetch("SELECT id FROM outbox WHERE published_at IS NULL ORDER BY id")
    assert [row["id"] for row in waiting] == [4, 5, 6, 7, 8]
    assert await resend(lossy.db) == 3
    assert await resend(lossy.db) == 0, "all of them wait for the relay already"


async def test_what_cannot_be_handled_is_parked_in_its_turn(
    make_bus: MakeBus,
    consumer_db: Database,
    seen: Seen,
    meta: Meta,
    raw: AIOKafkaProducer,
    kafka_settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(early, "POLL", timedelta(milliseconds=50))
    reader = make_bus("reader", consumer_db)
    reader.consume(ConnectionAdded, seen, step=HANDLE)
    await reader.start()
    key = uuid4()
    unknown = {"ce_type": ConnectionAdded.TYPE.encode(), "ce_sequence": b"3"}
    await send_raw(raw, kafka_settings, 2, added(key, "refused"), meta)
    await send_raw(raw, kafka_settings, 3, _NotJson(key), meta, **unknown)
    await send_raw(raw, kafka_settings, 4, added(key, "last"), meta)
    await until(lambda: _left(consumer_db, 3))
    assert await parked.list_parked(consumer_db) == []
    seen.errors = [HoldfastError(Kind.UNAVAILABLE, "wait"), HoldfastError(Kind.INVALID, "never")]
    async with consumer_db.unit(PUBLISH) as unit:  # number 1 arrives by another partition
        await unit.execute("INSERT INTO stream_seen VALUES ('reader', $1, $2, 1)", ConnectionAdded.topic(), str(key))
    await until(lambda: len(seen.events) == 1)
    assert names(seen, key) == ["last"]
    assert len(await parked.list_parked(consumer_db)) == 2
    await until(lambda: _left(consumer_db, 0))


class _NotJson:
    """An event of this topic whose payload no version of the code can read."""

    TYPE = ConnectionAdded.TYPE

    def __init__(self, key: UUID) -> None:
        self._key = str(key)

    def topic(self) -> str:
        return ConnectionAdded.topic()

    def key(self) -> str:
        return self._key

    def model_dump_json(self) -> str:
        return "not json"
