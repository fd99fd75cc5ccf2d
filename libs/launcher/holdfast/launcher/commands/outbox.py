"""`holdfast outbox`: events that a service has published. For administrators: works on Postgres itself."""

# Help is instant because commands import what they need when they run.
# ruff: noqa: PLC0415

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.launcher.commands import administration, output
from holdfast.launcher.commands.administration import Postgres
from holdfast.launcher.commands.failure import CommandError, ExitCode
from holdfast.launcher.commands.options import DEFAULT_DATA, Data, Json

if TYPE_CHECKING:
    from holdfast.common.postgres import Database

app = typer.Typer(help="Events that a service has published to Kafka.", no_args_is_help=True)
Service = Annotated[str, typer.Argument(help="The service that published them.")]
Since = Annotated[
    str,
    typer.Option(metavar="TIME", help="Only those published since then (ISO 8601; UTC if it names no zone)."),
]


@app.callback()
def _group() -> None:
    """Keeps `resend` a word of its own while it is the only command."""


@app.command("resend")
def resend(
    service: Service, since: Since = "", postgres: Postgres = "", data: Data = DEFAULT_DATA, as_json: Json = False
) -> None:
    """Have events sent again that Kafka has lost.

    They go out oldest first; who has handled one already drops it. The relay keeps events for 7 days after it has sent
    them: what is older cannot be sent again.
    """
    administration.known(service, "publishes")
    start = _time(since)

    async def work(db: Database) -> int | None:
        from holdfast.common.outbox import resend as send_again

        return await send_again(db, start) if await administration.has_started(db) else None

    dsn = administration.find_dsn(postgres, data)
    count = administration.finish(administration.in_schema(dsn, service, work))
    if count is None:
        raise CommandError(f"{service} has never started on this Postgres.", ExitCode.REFUSED)
    if as_json:
        output.print_json({"service": service, "events": count})
    elif count:
        events = "1 event" if count == 1 else f"{count:,} events"
        output.say(f"{service} sends {events} again, oldest first, within seconds or when it next starts.")
    else:
        output.say(f"{service} keeps no published event of that time: none is sent again.")


def _time(text: str) -> datetime | None:
    if not text:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        sentence = f"'{output.visible(text)}' is not a time; write it like 2026-03-29T01:00:00Z."
        raise CommandError(sentence, ExitCode.USAGE) from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)
