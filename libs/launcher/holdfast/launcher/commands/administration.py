"""What commands share that work on Postgres itself, for administrators: where it is, and a service's schema in it."""

# Help is instant because commands import what they need when they run.
# ruff: noqa: PLC0415

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from holdfast.launcher.commands import output
from holdfast.launcher.commands.failure import CommandError, ExitCode

if TYPE_CHECKING:
    from holdfast.common.postgres import Database

T = TypeVar("T")
DSN_FILE = "postgres-dsn"
# Each of them consumes and publishes; the gateway does neither.
SERVICES = ("scheduler", "extractor", "differ", "history", "connections")
Postgres = Annotated[str, typer.Option(envvar="HOLDFAST_POSTGRES", help="DSN; default: that of the data folder.")]


def known(service: str, verb: str) -> None:
    """Refuse what is not the name of a service, before anything is opened."""
    if service not in SERVICES:
        offer = ", ".join(SERVICES)
        raise CommandError(f"'{output.visible(service)}' {verb} no messages; choose from {offer}.", ExitCode.USAGE)


def finish(work: Coroutine[Any, Any, T]) -> T:
    """Run it to its end; its error as a sentence and an exit code."""
    from holdfast.common.errors import HoldfastError

    try:
        return asyncio.run(work)
    except HoldfastError as error:
        code = ExitCode.NO_ACCESS if error.transient else ExitCode.REFUSED
        raise CommandError(error.message, code) from None


async def in_schema(dsn: str, service: str, work: Callable[[Database], Awaitable[T]]) -> T:
    """Do `work` in the schema of a service."""
    from holdfast.common.postgres import Database

    db = await Database.open(dsn, service, max_size=1)
    try:
        return await work(db)
    finally:
        await db.close()


async def has_started(db: Database) -> bool:
    """Whether the service whose schema this is has ever started here."""
    from holdfast.common.postgres import Queries

    return bool(await db.fetchval(Queries.load("holdfast.launcher.commands").has_started))


def find_dsn(postgres: str, data: Path) -> str:
    """The DSN that was given, or that of the data folder."""
    file = data / DSN_FILE
    if postgres:
        return postgres
    try:
        return file.read_text(encoding="utf-8").strip()
    except OSError:
        sentence = f"Where is Postgres? Set HOLDFAST_POSTGRES, or start Holdfast here: there is no {file}."
        raise CommandError(sentence, ExitCode.NO_ACCESS) from None
