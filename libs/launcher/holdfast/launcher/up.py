"""`holdfast up`: the embedded stack and all services, until Ctrl-C."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from holdfast.common.errors import HoldfastError, Kind
from holdfast.common.settings import Settings
from holdfast.launcher.compose import load, run_services
from holdfast.launcher.demo.data import demo_data
from holdfast.launcher.environment import embedded_environment, kept_port, kept_secret, wanted_parts
from holdfast.launcher.stack.embedded import EmbeddedStack
from holdfast.launcher.stack.state import StackFolder
from holdfast.orgsim.testing import RunningOrg, start_org

WATCH_INTERVAL = timedelta(seconds=1)
Tell = Callable[[str], None]


@dataclass
class Installation:
    """A running Holdfast on this machine."""

    data: Path
    api: str
    token_file: Path
    stack: EmbeddedStack
    org: RunningOrg | None
    services: asyncio.Task[None]
    stop: asyncio.Event


async def up(data: Path, *, org_demo: bool = False, s3: bool = False, tell: Tell = print) -> None:
    """Run everything until SIGINT or SIGTERM; print where things are."""
    tell("Starting Kafka, Postgres and the services.")
    async with installation(data, loads=_demo_loads() if org_demo else None, s3=s3, tell=tell) as running:
        tell(f"API          {running.api}/v1   (described at {running.api}/v1/openapi.json)")
        tell(f"Admin token  {running.token_file}")
        tell(f"Data         {running.data}")
        if running.org is not None:
            _tell_org(running.org, running.data, tell)
        tell("Press Ctrl-C to stop.")
        await running.stop.wait()
        tell("Stopping.")


def _write_private(path: Path, secret: str) -> None:
    path.touch(mode=0o600)
    path.write_text(secret)


def _demo_loads() -> list[Path]:
    return [demo_data() / "npsp-1k", demo_data() / "dotgov"]


def _tell_org(org: RunningOrg, data: Path, tell: Tell) -> None:
    secret = data / "org" / "client-secret"
    tell(f"Local org    {org.url}   (starts afresh each time: what is edited in it is not kept)")
    tell(
        f"Connect it   holdfast connection add demo --login-url {org.url} "
        f"--client-id {org.client_id} --client-secret-file {secret}"
    )


@asynccontextmanager
async def installation(
    data: Path,
    *,
    loads: list[Path] | None = None,
    s3: bool = False,
    tell: Tell = print,
) -> AsyncIterator[Installation]:
    """Start the embedded stack, the services and, if `loads` says with what, the local org; stop them all after.

    Raises:
        HoldfastError: A part did not start, or a service failed while the body ran.
    """
    data = data.absolute()
    data.mkdir(parents=True, exist_ok=True)
    _refuse_a_second(data)
    stack = EmbeddedStack(data, **wanted_parts(), s3=s3, progress=tell)
    stop = asyncio.Event()
    children = ExitStack()
    try:
        org, _, _ = await asyncio.gather(
            asyncio.to_thread(_start_org, children, data, loads),
            asyncio.to_thread(stack.start),
            asyncio.to_thread(load, ["all"]),
        )
        # One that was killed left it; only now is it sure that no other Holdfast has this folder and answers there.
        (data / "api-address").unlink(missing_ok=True)
        os.environ.update(embedded_environment(data, stack, s3=s3))
        if loads is not None:
            os.environ["HOLDFAST_ALLOW_INSECURE_SALESFORCE"] = "true"
        settings = Settings()
        services = await _start_services(settings, stop)
        watcher = asyncio.create_task(_watch(stack, services, stop))
        api = f"http://{settings.gateway_http}"
        _write_private(data / "postgres-dsn", settings.postgres)
        try:
            yield Installation(data, api, data / "admin-token", stack, org, services, stop)
        finally:
            stop.set()
            watcher.cancel()
            await services
    finally:
        await asyncio.gather(asyncio.to_thread(stack.stop), asyncio.to_thread(children.close))


def _refuse_a_second(data: Path) -> None:
    """Raise StackError if another Holdfast has the folder, before anything of its own is touched."""
    folder = StackFolder(data)
    folder.acquire()
    folder.release()


def _start_org(children: ExitStack, data: Path, loads: list[Path] | None) -> RunningOrg | None:
    if loads is None:
        return None
    # A connection that was added to it must still work when Holdfast is started again.
    port, secret = kept_port(data / "org" / "port"), kept_secret(data / "org" / "client-secret")
    extra = ["--port", str(port)]
    return children.enter_context(start_org(load=loads, data_dir=data / "org", client_secret=secret, extra=extra))


async def _start_services(settings: Settings, stop: asyncio.Event) -> asyncio.Task[None]:
    answering = asyncio.Event()
    services = asyncio.create_task(run_services(["all"], settings=settings, ready=answering.set, stop=stop))
    waiting = asyncio.create_task(answering.wait())
    await asyncio.wait({services, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if services.done():
        await services
        raise HoldfastError(Kind.INTERNAL, "The services ended before they were ready.")
    return services


async def _watch(stack: EmbeddedStack, services: asyncio.Task[None], stop: asyncio.Event) -> None:
    """Restart a server that died; end everything when the services end."""
    while not services.done():
        for dead in await asyncio.to_thread(stack.dead):
            await asyncio.to_thread(stack.restart, dead.name)
        await asyncio.sleep(WATCH_INTERVAL.total_seconds())
    stop.set()
