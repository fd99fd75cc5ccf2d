"""`holdfast parked`: messages that a service could not handle. For administrators: works on Postgres itself."""

# Help is instant because commands import what they need when they run.
# ruff: noqa: PLC0415

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from holdfast.launcher.commands import administration, output
from holdfast.launcher.commands.administration import SERVICES, Postgres, finish, has_started, in_schema
from holdfast.launcher.commands.failure import CommandError, ExitCode
from holdfast.launcher.commands.options import DEFAULT_DATA, Data, Json

if TYPE_CHECKING:
    from holdfast.common.parked import Parked
    from holdfast.common.postgres import Database

app = typer.Typer(help="Messages set aside because a service could not handle them.", no_args_is_help=True)
Service = Annotated[str, typer.Argument(help="The service that could not handle it.")]
Number = Annotated[int, typer.Argument(help="Number of the message, from 'holdfast parked list'.")]


@app.command("list")
def list_(postgres: Postgres = "", data: Data = DEFAULT_DATA, as_json: Json = False) -> None:
    """Messages that wait for a decision, with the reason."""

    async def find(db: Database, service: str) -> list[dict[str, Any]]:
        from holdfast.common.parked import list_parked

        return [_as_dict(service, each) for each in await list_parked(db)]

    found = finish(_in_all(administration.find_dsn(postgres, data), find))
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

    _settle(service, number, administration.find_dsn(postgres, data), parked.replay)
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
    _settle(service, number, administration.find_dsn(postgres, data), parked.drop)
    _done(service, number, "dropped", f"Message {number} of {service} is dropped.", as_json)


def _settle(service: str, number: int, dsn: str, act: Callable[[Database, int], Awaitable[None]]) -> None:
    administration.known(service, "consumes")

    async def settle(db: Database) -> bool:
        if not await has_started(db):
            return False
        await act(db, number)
        return True

    if not finish(in_schema(dsn, service, settle)):
        raise CommandError(f"No message {number} of {service} is parked.", ExitCode.REFUSED)


def _done(service: str, number: int, state: str, sentence: str, as_json: bool) -> None:
    if as_json:
        output.print_json({"service": service, "id": number, "state": state})
    else:
        output.say(sentence)


async def _in_all(dsn: str, find: Callable[[Database, str], Awaitable[list[dict[str, Any]]]]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for service in SERVICES:

        async def look(db: Database, service: str = service) -> bool:
            if await has_started(db):
                found.extend(await find(db, service))
            return True

        await in_schema(dsn, service, look)
    return found


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
