"""Is the bus still making progress? A ping cannot tell: it answers from a consumer that is dead for good.

One heartbeat reply with certain codes kills an aiokafka consumer; FastStream then logs the same error every
five seconds for ever. So errors in a row, ended tasks and messages that take for ever are what counts.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any, Protocol

from holdfast.common.consuming import TopicConsumer
from holdfast.common.early import Missing
from holdfast.common.kafka import KafkaError

MAX_ERRORS_IN_A_ROW = 3
MAX_HANDLING_S = 300.0


class RelayState(Protocol):
    """What of the relay is reported."""

    leading: bool
    failures: int


class Liveness:
    """Counts a consumer's Kafka errors by standing between FastStream and the client."""

    def __init__(self, service: str) -> None:
        self._service = service
        self._errors: dict[str, int] = {}

    def watch(self, subscriber: Any) -> None:
        """Count the errors in a row of a started subscriber's consumer."""
        consumer = subscriber.consumer
        if consumer is None:
            return
        name = ",".join(subscriber.topic_names)
        self._errors[name] = 0
        inner = consumer.getone

        async def getone(*partitions: object) -> object:
            try:
                record = await inner(*partitions)
            except KafkaError:
                self._errors[name] += 1
                raise
            self._errors[name] = 0
            return record

        consumer.getone = getone

    def report(
        self,
        consumers: Sequence[TopicConsumer],
        tasks: Sequence[asyncio.Task[None]],
        relay: RelayState,
        missing: Sequence[Missing] = (),
    ) -> dict[str, object]:
        """`alive`, and the reasons against it; `broken` are those that a restart may end.

        A lost message is none of these: it comes when someone has it sent again.
        """
        now = time.monotonic()
        reasons = [f"{topic}: Kafka errors in a row" for topic, n in self._errors.items() if n >= MAX_ERRORS_IN_A_ROW]
        for consumer in consumers:
            progress = consumer.progress
            if progress.halted is not None:
                reasons.append(f"{consumer.topic}: halted: {progress.halted}")
            if progress.busy_since is not None and now - progress.busy_since > MAX_HANDLING_S:
                reasons.append(f"{consumer.topic}: one message for {now - progress.busy_since:.0f} s")
        reasons += [f"{task.get_name()} ended" for task in tasks if task.done()]
        lost = [str(each) for each in missing if each.lost]
        return {
            "alive": not reasons and not lost,
            "reasons": reasons + lost,
            "broken": reasons,
            "waiting": {f"{each.topic} {each.key}": each.number for each in missing},
            "relay_leads": relay.leading,
            "relay_failures": relay.failures,
            "failing": {c.topic: c.progress.failing for c in consumers if c.progress.failing},
        }
