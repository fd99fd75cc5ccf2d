"""A process of several modules: one fails, all stop, and the message says which."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest

from holdfast.common.consuming import TopicConsumer
from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.kafka import KafkaError
from holdfast.common.liveness import MAX_HANDLING_S, Liveness
from holdfast.common.service import ServiceModule, run_modules


class FakeModule:
    """Notes what happens to it in a shared list."""

    def __init__(self, name: str, log: list[str], **errors: BaseException) -> None:
        self.name = name
        self._log = log
        self._errors = errors
        self.running = asyncio.Event()

    async def _do(self, what: str) -> None:
        self._log.append(f"{what} {self.name}")
        if what in self._errors:
            raise self._errors[what]

    async def start(self) -> None:
        await self._do("start")

    async def run(self) -> None:
        self.running.set()
        await self._do("run")
        await asyncio.Event().wait()

    async def stop(self) -> None:
        await self._do("stop")

    def health(self) -> dict[str, object]:
        return {"alive": True}


async def test_modules_start_in_order_and_stop_in_reverse() -> None:
    log: list[str] = []
    stop = asyncio.Event()
    a, b = FakeModule("a", log), FakeModule("b", log)
    task = asyncio.create_task(run_modules([a, b], stop))
    await a.running.wait()
    await b.running.wait()
    stop.set()
    await task
    assert log == ["start a", "start b", "run a", "run b", "stop b", "stop a"]


async def test_when_one_fails_all_stop_and_it_is_named() -> None:
    log: list[str] = []
    modules = [FakeModule("a", log), FakeModule("b", log, run=ValueError("boom")), FakeModule("c", log)]
    with pytest.raises(HoldfastError, match=r"^b: boom$") as caught:
        await run_modules(modules)
    assert caught.value.kind is Kind.INTERNAL
    assert log[-3:] == ["stop c", "stop b", "stop a"]


async def test_a_failed_start_stops_what_had_begun_and_keeps_its_kind() -> None:
    log: list[str] = []
    modules = [
        FakeModule("a", log),
        FakeModule("b", log, start=HoldfastError(Kind.UNAVAILABLE, "Kafka is not reachable right now.")),
        FakeModule("c", log),
    ]
    with pytest.raises(HoldfastError, match=r"^b: Kafka is not reachable") as caught:
        await run_modules(modules)
    assert caught.value.kind is Kind.UNAVAILABLE
    assert log == ["start a", "start b", "stop b", "stop a"]


async def test_one_that_cannot_stop_does_not_keep_the_others_from_stopping() -> None:
    log: list[str] = []
    stop = asyncio.Event()
    stop.set()
    await run_modules([FakeModule("a", log), FakeModule("b", log, stop=OSError("stuck"))], stop)
    assert log[-2:] == ["stop b", "stop a"]


class FakeLoop:
    """A loop that ends as told."""

    failures = 0

    def __init__(self, name: str, error: BaseException | None) -> None:
        self.name = name
        self._error = error

    async def run(self) -> None:
        if self._error is not None:
            raise self._error
        await asyncio.Event().wait()


class FakeDatabase:
    closed = False

    async def close(self) -> None:
        self.closed = True


async def test_a_loop_that_dies_ends_its_service() -> None:
    db: Any = FakeDatabase()
    loops: Any = [FakeLoop("fine", None), FakeLoop("bad", MemoryError("no more"))]
    with pytest.raises(HoldfastError, match=r"^svc: no more"):
        await run_modules([ServiceModule("svc", db, loops=loops)])
    assert db.closed


def relay() -> Any:
    return SimpleNamespace(leading=True, failures=0)


def consumer() -> TopicConsumer:
    db: Any = None
    clock: Any = None
    return TopicConsumer("svc", "topic", db, clock)


class FakeKafkaConsumer:
    """Answers `getone` from a list."""

    def __init__(self, answers: list[Any]) -> None:
        self.answers = answers

    async def getone(self, *partitions: object) -> Any:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


async def polled(answers: list[Any]) -> Liveness:
    """Liveness after FastStream has asked for each of these messages."""
    liveness = Liveness("svc")
    subscriber = SimpleNamespace(consumer=FakeKafkaConsumer(list(answers)), topic_names=["topic"])
    liveness.watch(subscriber)
    for answer in answers:
        if isinstance(answer, Exception):
            with pytest.raises(KafkaError):
                await subscriber.consumer.getone()
        else:
            assert await subscriber.consumer.getone() == answer
    return liveness


async def test_three_kafka_errors_in_a_row_are_the_end() -> None:
    error = KafkaError("fenced")
    assert (await polled([error, error])).report([], [], relay())["alive"]
    assert not (await polled([error, error, error])).report([], [], relay())["alive"]


async def test_a_message_between_errors_is_progress() -> None:
    error = KafkaError("hiccup")
    assert (await polled([error, error, "message", error, error])).report([], [], relay())["alive"]


async def test_a_message_that_takes_for_ever_is_the_end() -> None:
    stuck = consumer()
    stuck.progress.busy_since = time.monotonic() - MAX_HANDLING_S - 1
    report = Liveness("svc").report([stuck], [], relay())
    assert not report["alive"]
    assert "one message for" in str(report["reasons"])


async def test_a_halted_consumer_and_an_ended_task_are_the_end() -> None:
    halted = consumer()
    halted.progress.halted = MemoryError()
    assert not Liveness("svc").report([halted], [], relay())["alive"]
    ended = asyncio.create_task(asyncio.sleep(0), name="svc relay")
    await ended
    assert Liveness("svc").report([], [ended], relay())["reasons"] == ["svc relay ended"]
