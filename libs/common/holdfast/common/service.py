"""Composing a process out of services: each is a module; when one fails, all stop and say which."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

import grpc.aio
import structlog

from holdfast.common.clock import Clock, Ids, SystemClock, TimeOrderedIds
from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.grpc import Server
from holdfast.common.loops import Loop
from holdfast.common.messaging import Bus
from holdfast.common.objectstore import ObjectStore
from holdfast.common.postgres import Database
from holdfast.common.settings import Settings
from holdfast.common.tasks import end_tasks

log = structlog.get_logger(__name__)
STOP_TIMEOUT_S = 20.0


def default_holder() -> str:
    """Who this process is, in leases and logs."""
    return f"{socket.gethostname()}:{os.getpid()}"


@dataclass(frozen=True)
class Platform:
    """What every service is built from."""

    settings: Settings
    store: ObjectStore
    clock: Clock = field(default_factory=SystemClock)
    ids: Ids = field(default_factory=TimeOrderedIds)
    holder: str = field(default_factory=default_holder)


class Module(Protocol):
    """A part of a process: a service, or the HTTP server."""

    name: str

    async def start(self) -> None:
        """Return when it serves."""

    async def run(self) -> None:
        """Run until cancelled; raise when it cannot go on."""

    async def stop(self) -> None:
        """Let work in hand end, then close. Also called when `start` failed half-way."""

    def health(self) -> dict[str, object]:
        """`{"alive": bool, …}`."""


class ServiceModule:
    """The usual service: a database, a bus, perhaps a gRPC server, loops."""

    def __init__(
        self,
        name: str,
        db: Database,
        bus: Bus | None = None,
        server: Server | None = None,
        loops: Sequence[Loop] = (),
        channels: Sequence[grpc.aio.Channel] = (),
    ) -> None:
        self.name = name
        self._db = db
        self._bus = bus
        self._server = server
        self._loops = loops
        self._channels = channels
        self._running: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Server first, so that those who consume can be asked; then Kafka."""
        if self._server is not None:
            await self._server.start()
        if self._bus is not None:
            await self._bus.start()
        log.info("service_started", service=self.name)

    async def run(self) -> None:
        """Run the loops; raise the error of the first that ends."""
        work = [loop.run() for loop in self._loops]
        if self._bus is not None:
            work.append(self._bus.watch())
        if not work:
            await asyncio.Event().wait()
        async with asyncio.TaskGroup() as group:
            self._running = [group.create_task(coroutine) for coroutine in work]

    async def stop(self) -> None:
        """No new calls, no new messages, loops ended by the caller's cancellation; then the pool."""
        if self._server is not None:
            await self._server.stop()
        if self._bus is not None:
            await self._bus.stop()
        for open_channel in self._channels:
            await open_channel.close(None)
        await self._db.close()
        log.info("service_stopped", service=self.name)

    def health(self) -> dict[str, object]:
        """Alive while every loop runs and the bus makes progress."""
        bus = self._bus.liveness() if self._bus is not None else {"alive": True}
        failing = {loop.name: loop.failures for loop in self._loops if loop.failures}
        ended = [task.get_name() for task in self._running if task.done()]
        return {"alive": bool(bus["alive"]) and not ended, "bus": bus, "failing_loops": failing}


async def run_modules(
    modules: Sequence[Module], stop: asyncio.Event | None = None, ready: Callable[[], None] = lambda: None
) -> None:
    """Start all modules in order, run them until `stop` is set, stop them in reverse order.

    Args:
        modules: In the order in which they start.
        stop: Set it to end cleanly.
        ready: Called once every module serves.

    Raises:
        HoldfastError: A module failed; the message names it. All others have been stopped.
    """
    async with started(modules):
        ready()
        tasks = {asyncio.create_task(module.run(), name=module.name): module for module in modules}
        stopper = asyncio.create_task((stop or asyncio.Event()).wait(), name="stop")
        try:
            done, _ = await asyncio.wait({*tasks, stopper}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await end_tasks((*tasks, stopper))
        for task, module in tasks.items():
            if task in done:
                raise _failure(module.name, task.exception()) from task.exception()


@asynccontextmanager
async def started(modules: Sequence[Module]) -> AsyncIterator[None]:
    """Modules that serve inside the block; those that were started are stopped at its end."""
    begun: list[Module] = []
    try:
        for module in modules:
            begun.append(module)
            try:
                await module.start()
            except Exception as error:
                raise _failure(module.name, error) from error
        yield
    finally:
        for module in reversed(begun):
            await _stop(module)


async def _stop(module: Module) -> None:
    try:
        await asyncio.wait_for(module.stop(), STOP_TIMEOUT_S)
    except Exception as error:
        # One that cannot stop must not keep the others from stopping.
        log.warning("module_did_not_stop", module=module.name, exc_info=error)


def _failure(name: str, error: BaseException | None) -> HoldfastError:
    cause = error
    while isinstance(cause, BaseExceptionGroup):
        cause = cause.exceptions[0]
    if cause is None:
        return HoldfastError(Kind.INTERNAL, f"{name} ended by itself.", code="module-ended")
    kind = cause.kind if isinstance(cause, HoldfastError) else Kind.INTERNAL
    detail = cause.detail if isinstance(cause, HoldfastError) else repr(cause)
    return HoldfastError(kind, f"{name}: {cause}", code="module-failed", detail=detail)
