"""From the outbox to Kafka: in order, at least once, by one relay at a time.

Rows are marked, never skipped by a cursor. The relay holds a session lock on a connection of its own; the
marking also checks an epoch, so that a relay that lost its lock without noticing marks nothing. Any send
error drops the producer: after an expired batch an idempotent producer stays out of sequence until it is rebuilt.
Repeats are expected; the inbox absorbs them.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from datetime import timedelta

import orjson
import structlog
from prometheus_client import Gauge

from holdfast.common.clock import Clock
from holdfast.common.cloudevents import message_id, to_kafka
from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.failpoints import durable_step
from holdfast.common.kafka import AIOKafkaProducer, KafkaError, close_producer, open_producer, unreachable
from holdfast.common.postgres import Connection, Database, Queries, Record, translated
from holdfast.common.retry import pause_before
from holdfast.common.settings import Settings

SENT = durable_step("common.outbox_sent")
MARKED = durable_step("common.outbox_marked")
BATCH_ROWS = 500
SEND_TIMEOUT_S = 30.0
STANDBY_POLL = timedelta(seconds=1)
BUSY_POLL = timedelta(milliseconds=25)
IDLE_POLL = timedelta(seconds=1)
RETRY_BASE = timedelta(milliseconds=100)
RETRY_CAP = timedelta(seconds=5)
KEPT = timedelta(days=7)
FORGET_EVERY_S = 3600.0
FORGET_ROWS = 10_000
MEASURE_EVERY_S = 15.0
_queries = Queries.load("holdfast.common")
log = structlog.get_logger(__name__)
UNPUBLISHED = Gauge("holdfast_outbox_unpublished_rows", "Events that wait for Kafka", ["service"])
OLDEST = Gauge("holdfast_outbox_oldest_seconds", "Age of the oldest event that waits for Kafka", ["service"])


class Relay:
    """Run it as a task for as long as the service lives; many may run, one leads."""

    def __init__(self, settings: Settings, service: str, db: Database, clock: Clock, holder: str) -> None:
        self._settings = settings
        self._service = service
        self._db = db
        self._clock = clock
        self._holder = holder
        self._producer: AIOKafkaProducer | None = None
        self._forgot_at = time.monotonic()
        self._measured_at = 0.0
        self.leading = False
        self.failures = 0

    async def run(self) -> None:
        """Lead or stand by until cancelled; errors are logged and followed by a growing pause."""
        try:
            while True:
                try:
                    await self._stand_or_lead()
                except HoldfastError as error:
                    self.failures += 1
                    log.warning("relay_failed", service=self._service, error=error.message, detail=error.detail)
                    await self._clock.sleep(pause_before(self.failures + 1, RETRY_BASE, RETRY_CAP))
        finally:
            await self.close()

    async def _stand_or_lead(self) -> None:
        connection = await self._db.dedicated()
        try:
            while not await translated(connection.fetchval, _queries.relay_lock):
                await self._clock.sleep(STANDBY_POLL)
            epoch = await self._take(connection)
            self.leading = True
            await self._open_producer()  # before the first event, not with it
            await self._lead(connection, epoch)
        finally:
            self.leading = False
            with suppress(Exception):
                await connection.close(timeout=2.0)

    async def _take(self, connection: Connection) -> int:
        epoch: int = await translated(connection.fetchval, _queries.take_relay, self._holder)
        log.info("relay_leads", service=self._service, epoch=epoch)
        return epoch

    async def _lead(self, connection: Connection, epoch: int) -> None:
        poll = BUSY_POLL
        while True:
            marked = await self.pass_once(connection, epoch)
            if marked == BATCH_ROWS:
                continue
            await self._look_after(connection)
            # What was stored here since the pass began has set the signal: no second look is needed to know.
            woken = await self._db.outbox_signal.wait(BUSY_POLL if marked else poll)
            poll = BUSY_POLL if marked or woken else min(poll * 2, IDLE_POLL)

    async def pass_once(self, connection: Connection, epoch: int) -> int:
        """Send and mark one batch.

        Returns:
            How many rows were marked; 0 when the outbox is empty.

        Raises:
            HoldfastError: UNAVAILABLE when something was not acknowledged; FENCED when another relay leads.
        """
        rows = await translated(connection.fetch, _queries.unpublished, BATCH_ROWS)
        if not rows:
            return 0
        await self._send(rows)
        ids = [row["id"] for row in rows]
        MARKED.before()
        tag = await translated(connection.execute, _queries.mark_published, ids, epoch)
        MARKED.after()
        if int(tag.split()[-1]) != len(ids):
            raise HoldfastError(Kind.FENCED, "Another relay has taken over.", code="relay-fenced")
        self.failures = 0
        return len(ids)

    async def _send(self, rows: list[Record]) -> None:
        producer = await self._open_producer()
        SENT.before()
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                sent = [await self._send_one(producer, row) for row in rows]
                await asyncio.gather(*sent)
        except (KafkaError, OSError, TimeoutError) as error:
            await self.close()
            raise unreachable(error) from error
        except BaseException:
            await self.close()
            raise
        SENT.after()

    async def _send_one(self, producer: AIOKafkaProducer, row: Record) -> asyncio.Future[object]:
        identity = message_id(row["topic"], row["key"], row["number"])
        headers: dict[str, str] = orjson.loads(row["headers"])
        headers |= {"ce_id": str(identity), "ce_sequence": str(row["number"])}
        future: asyncio.Future[object] = await producer.send(
            self._settings.on_kafka(row["topic"]),
            value=row["payload"],
            key=row["key"].encode(),
            headers=to_kafka(headers),
        )
        return future

    async def _open_producer(self) -> AIOKafkaProducer:
        if self._producer is None:
            self._producer = await open_producer(self._settings, self._service)
        return self._producer

    async def close(self) -> None:
        """Drop the producer; the next send builds a new one."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await close_producer(producer)

    async def _look_after(self, connection: Connection) -> None:
        """Now and then: measure the outbox, and delete a bounded batch of rows that Kafka has had for a week."""
        now = time.monotonic()
        if now - self._measured_at >= MEASURE_EVERY_S:
            self._measured_at = now
            lag = await translated(connection.fetchrow, _queries.outbox_lag)
            if lag is not None:
                UNPUBLISHED.labels(self._service).set(lag["rows"])
                OLDEST.labels(self._service).set(lag["age_s"])
        if now - self._forgot_at >= FORGET_EVERY_S:
            self._forgot_at = now
            await translated(connection.execute, _queries.forget_published, KEPT, FORGET_ROWS)
