"""Which services there are, and how one or all of them run in a process.

The all-in-one process is just another target: the same modules, composed from the same settings.
"""

from __future__ import annotations

import asyncio
import importlib
import signal
from collections.abc import Callable, Sequence

from holdfast.common.clock import SystemClock, TimeOrderedIds
from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.objectstore import open_store, probe
from holdfast.common.service import Module, Platform, default_holder, run_modules
from holdfast.common.settings import Settings
from holdfast.common.telemetry import configure_logging, exported

# In the order in which a run passes through them; the gateway last, so that what answers is whole.
SERVICES = ("connections", "scheduler", "extractor", "differ", "history", "gateway")


def chosen(names: Sequence[str]) -> list[str]:
    """The services that `names` asks for; `all` stands for every one.

    Raises:
        HoldfastError: A name is not a service.
    """
    if "all" in names:
        return list(SERVICES)
    unknown = [name for name in names if name not in SERVICES]
    if unknown:
        offer = ", ".join(SERVICES)
        raise HoldfastError(Kind.INVALID, f"There is no service called {unknown[0]}. Choose from {offer}, or all.")
    return list(names)


async def run_services(
    names: Sequence[str],
    *,
    settings: Settings | None = None,
    ready: Callable[[], None] = lambda: None,
    stop: asyncio.Event | None = None,
) -> None:
    """Run services until SIGTERM, SIGINT or `stop`; if one fails, all stop and it is named.

    Args:
        names: Services, or `all`.
        settings: Read from the environment if not given.
        ready: Called once every service answers.
        stop: Set it to end cleanly; made here if not given.
    """
    settings = settings or Settings()
    configure_logging(settings, "+".join(names))
    store = await open_store(settings)
    await probe(store)
    stop = stop or asyncio.Event()
    _stop_on_signals(stop)
    platform = Platform(
        settings=settings,
        clock=SystemClock(),
        ids=TimeOrderedIds(),
        store=store,
        holder=settings.instance or default_holder(),
    )
    with exported(settings, "+".join(names)):
        modules = [await _build(name, platform) for name in chosen(names)]
        await run_modules(modules, stop=stop, ready=ready)


def load(names: Sequence[str]) -> None:
    """Import the services: seconds of work that can overlap with the start of the servers."""
    for name in chosen(names):
        importlib.import_module(f"holdfast.{name}.module")


async def _build(name: str, platform: Platform) -> Module:
    module = importlib.import_module(f"holdfast.{name}.module")
    built: Module = await module.build(platform)
    return built


def _stop_on_signals(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
