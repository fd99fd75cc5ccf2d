"""What happens to one message: decode, check its place, run the handler, or wait, park, halt.

Nothing here knows FastStream; `messaging` feeds it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import structlog
from prometheus_client import Counter

from holdfast.common import cloudevents, early, inbox
from holdfast.common import parked as parking
from holdfast.common.clock import Clock
from holdfast.common.cloudevents import Envelope
from holdfast.common.contracts.base import PublicEvent
from holdfast.common.errors import MAPPING, ConsumerAction, HoldfastError, Kind
from holdfast.common.failpoints import DurableStep, durable_step
from holdfast.common.inbox import GapError, Verdict
from holdfast.common.meta import Meta
from holdfast.common.parked import Incoming
from holdfast.common.postgres import Database, Queries, Unit
from holdfast.common.retry import pause_before
from holdfast.common.telemetry import tracer

Handler = Callable[[Unit, Any, Meta], Awaitable[None]]
PARKED = durable_step("common.message_parked")
PASSED = durable_step("common.message_passed")
REPLAYED = durable_step("common.parked_replayed")
ATTEMPT = durable_step("common.message_attempted")
# Well under max_poll_interval_ms (600 s), so that waiting never costs the membership.
RETRY_FOR_S = 60.0
RETRY_BASE = timedelta(milliseconds=100)
RETRY_CAP = timedelta(seconds=10)
PAUSE_BEFORE_REDELIVERY = timedelta(seconds=2)
TRIES_OF_A_BUG = 5
_queries = Queries.load("holdfast.common")
log = structlog.get_logger(__name__)
HANDLED = Counter("holdfast_messages_total", "Messages by outcome", ["service", "topic", "outcome"])


@dataclass(frozen=True)
class Route:
    """What handles one event type."""

    event_type: type[PublicEvent]
    handler: Handler
    step: DurableStep


@dataclass
class Progress:
    """What liveness looks at."""

    handled_at: float = field(default_factory=time.monotonic)
    busy_since: float | None = None
    failing: str = ""
    halted: BaseException | None = None


class Undecodable(Exception):  # noqa: N818 - a verdict on a message
    """The message is not one of ours, or is of a version that this code does not know."""


class TopicConsumer:
    """Handles the messages of one topic for one service, one after the other."""

    def __init__(self, service: str, topic: str, db: Database, clock: Clock) -> None:
        self.service = service
        self.topic = topic
        self.progress = Progress()
        self.routes: dict[str, Route] = {}
        self._db = db
        self._clock = clock
        self._turn = asyncio.Lock()

    def add(self, route: Route) -> None:
        """Have an event type of this topic handled.

        Raises:
            ValueError: It has a handler already.
        """
        name = route.event_type.TYPE
        if name in self.routes:
            raise ValueError(f"{self.service} handles {name} twice")
        self.routes[name] = route

    async def on_message(self, message: Incoming) -> None:
        """Return when the message may be acknowledged; raise when Kafka must deliver it again.

        A transient error is retried in place for up to a minute; then it leaves, after a pause, because a
        bare exception would be redelivered at once, for ever.
        """
        async with self._turn:
            self.progress.busy_since = time.monotonic()
            try:
                await self._until_settled(message)
                self.progress.handled_at = time.monotonic()
                self.progress.failing = ""
            finally:
                self.progress.busy_since = None

    async def on_early(self, message: Incoming) -> bool:
        """Handle a message that was set aside; False when it must be tried again later."""
        async with self._turn:
            try:
                await self._handle(message)
            except Exception as error:
                action = await self._judge(message, error, attempt=1)
                if action is ConsumerAction.HALT:
                    self.progress.halted = error
                if action is not ConsumerAction.PARK:
                    return False
            self.progress.failing = ""
            return True

    async def _until_settled(self, message: Incoming) -> None:
        started = self._clock.monotonic()
        attempt = 1
        while True:
            try:
                await self._handle(message)
                return
            except Exception as error:
                action = await self._judge(message, error, attempt)
                if action is ConsumerAction.PARK:
                    return
                if action is ConsumerAction.HALT:
                    self.progress.halted = error
                    raise
                attempt += 1
                if self._clock.monotonic() - started > RETRY_FOR_S:
                    await self._clock.sleep(PAUSE_BEFORE_REDELIVERY)
                    raise
                await self._clock.sleep(pause_before(attempt, RETRY_BASE, RETRY_CAP))

    async def _handle(self, message: Incoming) -> None:
        envelope, event = self._decode(message)
        try:
            outcome = await self._take(envelope, event)
        except GapError as gap:
            await self._set_aside(message, envelope, gap)
            outcome = "early"
        self._count(outcome)

    async def _take(self, envelope: Envelope, event: PublicEvent | None) -> str:
        """Handle a message in its place; what became of it."""
        if event is None:
            async with self._db.unit(PASSED) as unit:
                await inbox.accept(unit, self.service, self.topic, envelope)
            return "passed"
        route = self.routes[envelope.type]
        about = {"holdfast.service": self.service, "holdfast.correlation_id": str(envelope.meta.correlation_id)}
        with tracer().start_as_current_span(f"handle {envelope.type}", attributes=about):
            async with self._db.unit(route.step) as unit:
                verdict = await inbox.accept(unit, self.service, self.topic, envelope)
                if verdict is Verdict.FRESH:
                    await route.handler(unit, event, envelope.meta)
        return "handled" if verdict is Verdict.FRESH else "duplicate"

    async def _set_aside(self, message: Incoming, envelope: Envelope, gap: GapError) -> None:
        log.warning("message_early", service=self.service, topic=message.topic, error=gap.message)
        async with self._db.unit(early.SET_ASIDE) as unit:
            await early.set_aside(unit, self.service, message, envelope)

    def _decode(self, message: Incoming) -> tuple[Envelope, PublicEvent | None]:
        """The message's envelope and event; no event for a type of this topic that is not handled here."""
        try:
            envelope = cloudevents.parse(message.headers)
        except ValueError as error:
            raise Undecodable(str(error)) from error
        route = self.routes.get(envelope.type)
        if route is None:
            return envelope, None
        try:
            return envelope, route.event_type.model_validate_json(message.value or b"")
        except ValueError as error:
            raise Undecodable(str(error)) from error

    async def _judge(self, message: Incoming, error: Exception, attempt: int) -> ConsumerAction:
        """Decide, park if that is the decision, and say so in the log."""
        self.progress.failing = str(error)
        action = await self._action(message, error)
        log.warning(
            "message_failed",
            service=self.service,
            topic=message.topic,
            partition=message.partition,
            offset=message.offset,
            attempt=attempt,
            action=action.value,
            error=str(error)[:500],
            detail=getattr(error, "detail", ""),
            exc_info=None if isinstance(error, HoldfastError | Undecodable) else error,
        )
        if action is ConsumerAction.PARK:
            action = await self._park(message, error)
        return action

    async def _action(self, message: Incoming, error: Exception) -> ConsumerAction:
        if isinstance(error, Undecodable):
            return ConsumerAction.PARK
        if isinstance(error, MemoryError):
            return ConsumerAction.HALT
        if isinstance(error, HoldfastError) and error.kind is not Kind.INTERNAL:
            again = error.code == "stream-moved"
            return ConsumerAction.WAIT if again else MAPPING[error.kind].consumer
        tries = await self._count_attempt(message)
        return ConsumerAction.PARK if tries >= TRIES_OF_A_BUG else ConsumerAction.WAIT

    async def _count_attempt(self, message: Incoming) -> int:
        """Tries survive a restart: a message that kills its process is parked in the end."""
        try:
            async with self._db.unit(ATTEMPT) as unit:
                tries: int = await unit.fetchval(
                    _queries.count_attempt, self.service, message.topic, message.partition, message.offset
                )
                return tries
        except HoldfastError:
            return 0

    async def _park(self, message: Incoming, error: Exception) -> ConsumerAction:
        """Set the message aside and let its key go on; when that is impossible now, wait instead."""
        try:
            envelope: Envelope | None = cloudevents.parse(message.headers)
        except ValueError:
            envelope = None
        try:
            return await self._park_in_place(message, envelope, error)
        except HoldfastError as failure:
            log.warning("message_not_parked", topic=message.topic, detail=failure.detail)
            return ConsumerAction.WAIT

    async def _park_in_place(self, message: Incoming, envelope: Envelope | None, error: Exception) -> ConsumerAction:
        try:
            async with self._db.unit(PARKED) as unit:
                if envelope is None or await inbox.advance(unit, self.service, self.topic, envelope):
                    type_name = envelope.type if envelope else None
                    await parking.park(unit, self.service, message, type_name, str(error))
        except GapError as gap:
            if envelope is not None:
                await self._set_aside(message, envelope, gap)
            self._count("early")
            return ConsumerAction.PARK
        self._count("parked")
        return ConsumerAction.PARK

    async def replay(self, parked_id: int) -> None:
        """Handle a parked message again; a failure puts it back with the new reason."""
        try:
            async with self._db.unit(REPLAYED) as unit:
                await self._replay(unit, parked_id)
        except Exception as error:
            if isinstance(error, HoldfastError) and error.transient:
                raise
            async with self._db.unit(REPLAYED) as unit:
                await unit.execute(_queries.parked_failed_again, parked_id, str(error)[:2000].replace("\0", "\\0"))

    async def _replay(self, unit: Unit, parked_id: int) -> None:
        message = await parking.load_parked(unit, parked_id)
        if message is None:
            return
        envelope, event = self._decode(message)
        # Its number was passed when it was parked; the inbox row alone keeps a repeat out.
        if event is not None and await unit.fetchval(_queries.inbox_insert, self.service, envelope.id):
            await self.routes[envelope.type].handler(unit, event, envelope.meta)
        await unit.fetchval(_queries.parked_settle, parked_id, "replayed", ["replaying"])
        self._count("replayed")

    def _count(self, outcome: str) -> None:
        HANDLED.labels(self.service, self.topic, outcome).inc()
