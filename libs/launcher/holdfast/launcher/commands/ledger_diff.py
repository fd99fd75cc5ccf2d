"""`holdfast org ledger diff`: does a vault hold what the local org's ledger tells."""

# Help is instant because commands import what they need when they run.
# ruff: noqa: PLC0415

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from holdfast.launcher.commands import output

if TYPE_CHECKING:
    from holdfast.launcher.ledger_diff import ObjectDiff


def diff(
    vault: Annotated[Path, typer.Argument(help="Folder of a vault, or of one job in it.")],
    ledger: Annotated[Path | None, typer.Option(help="Folder of the ledger: the org's --data-dir.")] = None,
    url: Annotated[str | None, typer.Option("--url", help="Address of a running org instead of --ledger.")] = None,
    job: Annotated[str | None, typer.Option(help="Which job, if the vault holds several.")] = None,
    objects: Annotated[list[str] | None, typer.Option("--object", help="Only these; repeatable.")] = None,
    at: Annotated[str | None, typer.Option(help="The ledger's moment, ISO 8601; its end if absent.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document instead of a table.")] = False,
) -> None:
    """Compare the ledger with a vault: missing, extra and different records by object. Ends with 1 if there are any.

    Compared is every object that the vault holds, or those that --object names.
    """
    from holdfast.launcher.ledger_diff import diff_object, job_folder, tables
    from holdfast.orgsim.ledger.replay import truths

    try:
        folder = job_folder(vault, job)
        names = objects or tables(folder)
        moment = None if at is None else datetime.fromisoformat(at)
        if moment is not None and moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        told = truths(_ledger(ledger, url), moment, names)
    except (ValueError, FileNotFoundError) as error:
        raise typer.BadParameter(str(error)) from error
    found = [diff_object(name, told.get(name), folder) for name in names]
    if as_json:
        agrees = all(each.agrees for each in found)
        output.print_json({"agrees": agrees, "objects": [each.document() for each in found]})
    else:
        _print(found)
    if not all(each.agrees for each in found):
        raise typer.Exit(1)


def _ledger(ledger: Path | None, url: str | None) -> Path:
    if ledger is not None:
        return ledger
    if url is None:
        raise ValueError("--ledger or --url is needed")
    import httpx

    try:
        answer = httpx.get(f"{url}/_org/ledger/folder", timeout=10, trust_env=False).raise_for_status()
    except httpx.HTTPError as error:
        raise ValueError(f"{url}: {error}") from error
    return Path(answer.json()["folder"])


def _print(found: list[ObjectDiff]) -> None:
    figures = ["records", "missing", "extra", "different"]
    rows = [[each.object, each.records, each.missing, each.extra, each.different] for each in found]
    output.print_table(["object", *figures], rows, right=figures)
    for each in found:
        for line in each.examples:
            output.say(f"{each.object}: {output.visible(line)}")
