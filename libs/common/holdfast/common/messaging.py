"""Kafka for a service: what it consumes, the relay of its outbox, the record feed.

The only place where a subscriber is declared. Its policies are fixed here, because FastStream's defaults lose
messages: it acknowledges first, reads from the latest offset, and acknowledges what a handler failed on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar

import structlog
from aiokafka import ConsumerRebalanceListener  # type: ignore[import-untyped]
from faststream.kafka import KafkaBroker
from faststream.kafka.message import KafkaMessage
from faststream.middlewares.acknowledgement.config import AckPolicy

from holdfast.common.clock import Clock
from holdfast.common.consuming import Route, TopicConsumer
from holdfast.common.contracts.base import PublicEvent
from holdfast.common.early import EarlyMessages
from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.failpoints import DurableStep
from holdfast.common.feed import FeedProducer
from holdfast.common.kafka import KafkaError, ensure_topics, unreachable
from holdfast.common.liveness import Liveness
from holdfast.common.meta import Meta
from holdfast.common.parked import Incoming
from holdfast.common.postgres import Database, Queries, Unit
from holdfast.common.relay import Relay
from holdfast.common.settings import Settings
from holdfast.common.tasks import end_tasks
from holdfast.common.wakeup import Signal

E = TypeVar("E", bound=PublicEvent)
log = structlog.get_logger(__name__)
_queries = Queries.load("holdfast.common")
REPLAY_POLL = timedelta(seconds=2)
GRACEFUL_TIMEOUT_S = 8.0  # `holdfast up` promises to be down within 10 s
START_TIMEOUT_S = 45.0

# Each of these differs from a default that loses or repeats messages; a test holds every subscriber to them.
POLICY: dict[str, Any] = {
    "ack_policy": AckPolicy.NACK_ON_ERROR,
    "auto_offset_reset": "earliest",
    "isolation_level": "read_committed",
    "session_timeout_ms": 45_000,
    "heartbeat_interval_ms": 3_000,
    "rebalance_timeout_ms": 120_000,
    "max_poll_interval_ms": 600_000,
    "fetch_max_wait_ms": 500,
}


class _Drain(ConsumerRebalanceListener):  # type: ignore[misc]
    """Lets the message in hand end before its partition moves on; saves repeats, no more."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()

    async def on_partitions_revoked(self, revoked: object) -> None:
        async with self.lock:
            pass

    async def on_partitions_assigned(self, assigned: object) -> None:
        """Nothing to do."""


class Bus:
    """Everything of Kafka that one service needs. Declare with `consume`, then `start`."""

    def __init__(self, settings: Settings, service: str, db: Database, clock: Clock, *, holder: str = "") -> None:
        self.service = service
        self._settings = settings
        self._db = db
        self._clock = clock
        self._consumers: dict[str, TopicConsumer] = {}
        self._relay = Relay(settings, service, db, clock, holder or service)
        self._feed = FeedProducer(settings, service)
        self._early = EarlyMessages(service, db, clock, self._consumers)
        self._tasks: list[asyncio.Task[None]] = []
        self._publishes: set[str] = set()
        self.replay_signal = Signal()
        self.broker = self._make_broker()
        self._liveness = Liveness(service)

    def consume(
        self,
        event_type: type[E],
        handler: Callable[[Unit, E, Meta], Awaitable[None]],
        *,
        step: DurableStep,
    ) -> None:
        """Have `handler` called once per event, in order per key, in one transaction with the inbox.

        Call before `start`. What `handler` raises decides: transient waits, permanent parks the message.
        It must be short and must not touch anything but the unit; long work is a row and a loop.
        """
        topic = event_type.topic()
        consumer = self._consumers.get(topic)
        if consumer is None:
            consumer = TopicConsumer(self.service, topic, self._db, self._clock)
            self._consumers[topic] = consumer
            self._subscribe(consumer)
        consumer.add(Route(event_type, handler, step))

    def publishes(self, *event_types: type[PublicEvent]) -> None:
        """Have these events' topics created at start, so that the first message finds its topic."""
        self._publishes |= {event_type.topic() for event_type in event_types}

    async def start(self) -> None:
        """Create missing topics, start consumers and relay.

        Raises:
            HoldfastError: UNAVAILABLE when Kafka cannot be reached.
        """
        await ensure_topics(self._settings, self._publishes | self._consumers.keys())
        try:
            await asyncio.wait_for(self.broker.start(), START_TIMEOUT_S)
        except (OSError, TimeoutError) as error:
            raise unreachable(error) from error
        for subscriber in self.broker.subscribers:
            self._liveness.watch(subscriber)
        self._spawn(self._relay.run(), "relay")
        if self._consumers:
            self._spawn(self._replay_loop(), "replay")
            self._spawn(self._early.run(), "early")

    async def stop(self) -> None:
        """Let the messages in hand end, then close; bounded, also when Kafka is gone."""
        await end_tasks(self._tasks)
        with suppress(TimeoutError, KafkaError, OSError):
            await asyncio.wait_for(self.broker.stop(), GRACEFUL_TIMEOUT_S + 2)
        await self._feed.close()

    async def send_batch(
        self,
        topic: str,
        messages: Sequence[tuple[bytes, bytes, Mapping[str, str]]],
        step: DurableStep,
    ) -> None:
        """Send (key, value, headers) messages in order per key, and return once all are acknowledged.

        Raises:
            HoldfastError: UNAVAILABLE when one was not acknowledged; some may still arrive, so send them all
                again: readers drop repeats by event id.
        """
        await self._feed.send(topic, messages, step)

    def liveness(self) -> dict[str, object]:
        """`{"alive": bool, …}` and why; by progress, since a ping answers from a dead client."""
        return self._liveness.report(list(self._consumers.values()), self._tasks, self._relay, self._early.missing)

    async def watch(self) -> None:
        """Return never; raise as soon as this bus can no longer be trusted to make progress.

        Raises:
            HoldfastError: INTERNAL, with what failed.
        """
        while True:
            await asyncio.sleep(1.0)
            report = self.liveness()
            if report["broken"]:
                for task in self._tasks:
                    if task.done() and not task.cancelled() and task.exception() is not None:
                        log.error("bus_task_failed", task=task.get_name(), exc_info=task.exception())
                log.error("bus_dead", service=self.service, reasons=report["reasons"])
                raise HoldfastError(
                    Kind.INTERNAL,
                    f"{self.service} lost its way on Kafka and must be restarted.",
                    code="bus-dead",
                    detail=str(report),
                )

    def _make_broker(self) -> KafkaBroker:
        return KafkaBroker(
            self._settings.kafka,
            client_id=f"holdfast-{self.service}",
            ack_policy=AckPolicy.NACK_ON_ERROR,  # a subscriber that forgot its policy is safe too
            request_timeout_ms=20_000,
            graceful_timeout=GRACEFUL_TIMEOUT_S,
            consumer_only=True,  # the relay owns the producer, because it must be able to rebuild it
            allow_auto_create_topics=False,
            apply_types=False,
            logger=logging.getLogger("faststream"),
            log_level=logging.DEBUG,
        )

    def _subscribe(self, consumer: TopicConsumer) -> None:
        drain = _Drain()

        async def on_message(message: KafkaMessage) -> None:
            async with drain.lock:
                await consumer.on_message(_incoming(consumer.topic, message))

        subscriber = self.broker.subscriber(
            self._settings.on_kafka(consumer.topic),
            # A group of its own per topic: in a shared one each further topic's member would rebalance the rest.
            group_id=self._settings.on_kafka(f"{self.service}.{consumer.topic}"),
            # A static member that comes back is let in at once; a dynamic one waits for its own ghost to expire.
            group_instance_id=self._settings.instance or None,
            listener=drain,
            parser=_parse,
            decoder=_undecoded,
            **POLICY,
        )
        subscriber(on_message)

    def _spawn(self, work: Any, name: str) -> None:
        self._tasks.append(asyncio.create_task(work, name=f"{self.service} {name}"))

    async def _replay_loop(self) -> None:
        """Handle what `holdfast parked replay` asked for; it may run in another process, hence the poll."""
        while True:
            try:
                if await self._replay_one():
                    continue
            except HoldfastError as error:
                log.warning("replay_failed", service=self.service, detail=error.detail)
            await self.replay_signal.wait(REPLAY_POLL)

    async def _replay_one(self) -> bool:
        found = await self._db.fetchrow(_queries.parked_to_replay, self.service)
        if found is None:
            return False
        consumer = self._consumers.get(found["topic"])
        if consumer is None:
            return False
        await consumer.replay(found["id"])
        return True


async def _parse(record: Any, original: Callable[[Any], Awaitable[KafkaMessage]]) -> KafkaMessage:
    """FastStream's parser decodes headers as UTF-8, outside our handler: one that is not would spin for ever."""
    message = await original(replace(record, headers=()))
    message.raw_message = record
    return message


async def _undecoded(message: KafkaMessage) -> KafkaMessage:
    """FastStream's decoder runs outside our handler: bytes it cannot read must reach us to be parked."""
    return message


def _incoming(topic: str, message: KafkaMessage) -> Incoming:
    record: Any = message.raw_message
    return Incoming(topic, record.partition, record.offset, record.key, record.value, tuple(record.headers))
