"""`holdfast parked`: messages that a service could not handle. For administrators: works on Postgres itself."""

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
from holdfast.launcher.commands.options import DEFAULT_DATA, Data, Json

if TYPE_CHECKING:
    from holdfast.common.parked import Parked
    from holdfast.common.postgres import Database

T = TypeVar("T")
app = typer.Typer(help="Messages set aside because a service could not handle them.", no_args_is_help=True)
DSN_FILE = "postgres-dsn"
CONSUMERS = ("scheduler", "extractor", "differ", "history", "connections")
Postgres = Annotated[str, typer.Option(envvar="HOLDFAST_POSTGRES", help="DSN; default: that of the data folder.")]
Service = Annotated[str, typer.Argument(help="The service that could not handle it.")]
Number = Annotated[int, typer.Argument(help="Number of the message, from 'holdfast parked list'.")]


@app.command("list")
def list_(postgres: Postgres = "", data: Data = DEFAULT_DATA, as_json: Json = False) -> None:
    """Messages that wait for a decision, with the reason."""

    async def find(db: Database, service: str) -> list[dict[str, Any]]:
        from holdfast.common.parked import list_parked

        return [_as_dict(service, each) for each in await list_parked(db)]

    found = _finish(_in_all(_dsn(postgres, data), find))
    if as_json:
        output.print_json(found)
    elif not found:
        output.say("No messages are parked.")
    else:
        rows = [[each["service"], each["id"], each["type"], each["parked_at"], each["reason"]] for each in found]
        output.print_table(["Service", "Number", "Type", "Parked at", "Reason"], rows, right=["Number"])


@app.command("replay")
def replay(
    service: Service, number: Number, postgres: Postgres = "", data: Data = DEFAULT_DATA, as_json: Json = False
) -> None:
    """Have the service handle a message again, once what was wrong is repaired."""
    from holdfast.common import parked

    _settle(service, number, _dsn(postgres, data), parked.replay)
    _done(service, number, "replaying", f"{service} handles message {number} again within seconds.", as_json)


@app.command("drop")
def drop(
    service: Service,
    number: Number,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    postgres: Postgres = "",
    data: Data = DEFAULT_DATA,
    as_json: Json = False,
) -> None:
    """Decide that a message is never handled."""
    from holdfast.common import parked

    if not yes:
        typer.confirm(f"Message {number} of {service} will never be handled. Go on?", abort=True, err=True)
    _settle(service, number, _dsn(postgres, data), parked.drop)
    _done(service, number, "dropped", f"Message {number} of {service} is dropped.", as_json)


def _settle(service: str, number: int, dsn: str, act: Callable[[Database, int], Awaitable[None]]) -> None:
    if service not in CONSUMERS:
        offer = ", ".join(CONSUMERS)
        raise CommandError(f"'{output.visible(service)}' consumes no messages; choose from {offer}.", ExitCode.USAGE)

    async def settle(db: Database) -> bool:
        if not await _has_parked(db):
            return False
        await act(db, number)
        return True

    if not _finish(_in_one(dsn, service, settle)):
        raise CommandError(f"No message {number} of {service} is parked.", ExitCode.REFUSED)


def _done(service: str, number: int, state: str, sentence: str, as_json: bool) -> None:
    if as_json:
        output.print_json({"service": service, "id": number, "state": state})
    else:
        output.say(sentence)


def _finish(work: Coroutine[Any, Any, T]) -> T:
    from holdfast.common.errors import HoldfastError

    try:
        return asyncio.run(work)
    except HoldfastError as error:
        code = ExitCode.NO_ACCESS if error.transient else ExitCode.REFUSED
        raise CommandError(error.message, code) from None


async def _in_one(dsn: str, service: str, work: Callable[[Database], Awaitable[bool]]) -> bool:
    from holdfast.common.postgres import Database

    db = await Database.open(dsn, service, max_size=1)
    try:
        return await work(db)
    finally:
        await db.close()


async def _in_all(dsn: str, find: Callable[[Database, str], Awaitable[list[dict[str, Any]]]]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for service in CONSUMERS:

        async def look(db: Database, service: str = service) -> bool:
            if await _has_parked(db):
                found.extend(await find(db, service))
            return True

        await _in_one(dsn, service, look)
    return found


async def _has_parked(db: Database) -> bool:
    from holdfast.common.postgres import Queries

    return bool(await db.fetchval(Queries.load("holdfast.launcher.commands").has_parked))


def _as_dict(service: str, each: Parked) -> dict[str, Any]:
    return {
        "service": service,
        "id": each.id,
        "type": each.type or "",
        "reason": each.reason,
        "parked_at": each.parked_at.isoformat(timespec="seconds"),
        "topic": each.topic,
        "partition": each.partition,
        "offset": each.offset,
    }


def _dsn(postgres: str, data: Path) -> str:
    file = data / DSN_FILE
    if postgres:
        return postgres
    try:
        return file.read_text(encoding="utf-8").strip()
    except OSError:
        sentence = f"Where is Postgres? Set HOLDFAST_POSTGRES, or start Holdfast here: there is no {file}."
        raise CommandError(sentence, ExitCode.NO_ACCESS) from None
