"""`holdfast org ledger …`: read the ledger of a running org, or rebuild the org of a past moment from the file."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from holdfast.orgsim.ledger.replay import snapshot
from holdfast.orgsim.remote import ask

app = typer.Typer(help="Print the ledger of a running org, or rebuild the org from its file.")
ObjectName = Annotated[str | None, typer.Option("--object", help="Only this object.")]


@app.callback(invoke_without_command=True)
def show(
    context: typer.Context,
    url: Annotated[str | None, typer.Option("--url", help="Address of a running org.")] = None,
    object_name: ObjectName = None,
    since: Annotated[int, typer.Option(help="Only entries after this number.")] = 0,
) -> None:
    """Print the ledger as JSON lines."""
    if context.invoked_subcommand is not None:
        return
    if url is None:
        raise typer.BadParameter("--url is needed, or a command: see --help")
    params: dict[str, str | int] = {"since": since} | ({"object": object_name} if object_name else {})
    sys.stdout.write(ask("GET", url, "/_org/ledger", params=params, timeout_s=60))


@app.command("snapshot")
def rebuild(
    ledger: Annotated[Path, typer.Argument(help="Folder of a ledger (the org's --data-dir) or its file.")],
    at: Annotated[str | None, typer.Option(help="ISO 8601; the end of the ledger if absent.")] = None,
    object_name: ObjectName = None,
    out: Annotated[Path | None, typer.Option(help="Write one <Object>.jsonl each into this folder.")] = None,
) -> None:
    """Rebuild every record as it was at a moment, from the file alone, as JSON lines."""
    try:
        moment = None if at is None else datetime.fromisoformat(at)
        states = snapshot(ledger, moment and _aware(moment), None if object_name is None else [object_name])
    except (ValueError, FileNotFoundError) as error:
        raise typer.BadParameter(str(error)) from error
    if out is None and object_name is None:
        for name, rows in states.items():
            typer.echo(f"{name}\t{rows.height}")
        return
    for name, rows in states.items():
        if out is None:
            sys.stdout.write(rows.write_ndjson())
        else:
            out.mkdir(parents=True, exist_ok=True)
            rows.write_ndjson(out / f"{name}.jsonl")


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
