"""`holdfast changes` and `holdfast record history`: what changed, with values before and after."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from holdfast.launcher.commands import output
from holdfast.launcher.commands.failure import CommandError, ExitCode
from holdfast.launcher.commands.options import DEFAULT_DATA, ApiAddress, Data, Json, Limit
from holdfast.launcher.commands.references import RUN_HELP, only_job, resolve_run
from holdfast.launcher.commands.session import open_api, path

record_app = typer.Typer(help="Single records.", no_args_is_help=True)
_COUNTS = ("captured", "created", "updated", "touched", "deleted", "undeleted", "unseen")


def changes(
    run: Annotated[list[str], typer.Argument(metavar="RUN [OBJECT]", help=f"{RUN_HELP} With an object: its records.")],
    operations: Annotated[
        list[str] | None, typer.Option("--operation", help="Only these: created, updated, deleted, …; repeatable.")
    ] = None,
    limit: Limit = 20,
    api: ApiAddress = "",
    data: Data = DEFAULT_DATA,
    as_json: Json = False,
) -> None:
    """What a run saw change, per object.

    With an object: its records, with values before and after.
    """
    with open_api(api, data) as found:
        run_id, rest = resolve_run(found, run)
        if len(rest) > 1:
            raise CommandError(f"What is '{rest[1]}'? Give a run and at most one object.", ExitCode.USAGE)
        if not rest:
            _summary(found.get(path("runs", run_id, "changes")), as_json)
            return
        listing = path("runs", run_id, "changes", rest[0])
        records = list(found.items(listing, limit=limit + 1, operation=operations or None))
    if as_json:
        output.print_json(records[:limit])
        return
    if not records:
        output.say(f"Nothing changed in {output.visible(rest[0])}.")
    _records(records[:limit])
    if len(records) > limit:
        output.say(f"More than {limit} records; --limit shows more.")


def _summary(found: dict[str, Any], as_json: bool) -> None:
    if as_json:
        output.print_json(found)
        return
    columns = ["Object", *(name.capitalize() for name in _COUNTS), "Rows read", "Written"]
    rows = [_summary_row(each["object"], each) for each in found["objects"]]
    if len(rows) > 1:
        names = (*_COUNTS, "rows_read", "bytes_written")
        total = {name: sum(each[name] for each in found["objects"]) for name in names}
        rows.append(_summary_row("All", total))
    if rows:
        output.print_table(columns, rows, right=columns[1:], sparse=columns[1:-2])
    else:
        output.say("Nothing is known of this run's changes yet.")


def _summary_row(name: str, counts: dict[str, Any]) -> list[str]:
    figures = [f"{counts[each]:,}" if counts[each] else "-" for each in _COUNTS]
    return [name, *figures, f"{counts['rows_read']:,}", output.size(counts["bytes_written"])]


@record_app.command("history")
def history(
    object_name: Annotated[str, typer.Argument(metavar="OBJECT", help="API name, such as Contact.")],
    record_id: Annotated[str, typer.Argument(metavar="ID", help="Salesforce id, or key-… of a big object's record.")],
    job: Annotated[str, typer.Option(help="Name or id; may be left out while there is only one.")] = "",
    api: ApiAddress = "",
    data: Data = DEFAULT_DATA,
    as_json: Json = False,
) -> None:
    """Every version of one record, oldest first."""
    with open_api(api, data) as opened:
        wanted = job or only_job(opened)["id"]
        found = opened.get(path("jobs", wanted, "records", object_name, record_id))
    if as_json:
        output.print_json(found)
    elif not found["versions"]:
        output.say(f"The backup holds no {output.visible(object_name)} {output.visible(record_id)}.")
    else:
        _records(found["versions"])
        output.say(output.visible(_proven(object_name, found.get("last_proven"))))


def _proven(object_name: str, last: dict[str, Any] | None) -> str:
    if not last:
        return f"{object_name} was never proven to be complete."
    when = f"{output.moment(last['at'])}, by {last['checked']}"
    return f"{object_name} was last proven to be complete in run {last['run']} ({when})."


@record_app.command("file")
def file(
    job: Annotated[str, typer.Argument(help="Name or id of the job.")],
    object_name: Annotated[str, typer.Argument(metavar="OBJECT", help="API name, such as ContentVersion.")],
    record_id: Annotated[str, typer.Argument(metavar="ID", help="Salesforce id, 15 or 18 characters.")],
    field: Annotated[str, typer.Argument(help="API name of the file field, such as VersionData or Body.")],
    out: Annotated[Path, typer.Option("--output", "-o", help="File to write; must not exist yet.")],
    run: Annotated[int, typer.Option(min=0, help="As it was after this run; absent: the newest.")] = 0,
    image: Annotated[str, typer.Option(help="The refid of an image, where the field is a rich text.")] = "",
    api: ApiAddress = "",
    data: Data = DEFAULT_DATA,
) -> None:
    """A file out of the backup, byte for byte, checked against its hash."""
    if out.exists():
        raise CommandError(f"{out} exists already.", ExitCode.USAGE)
    with open_api(api, data) as opened:
        at = path("jobs", job, "records", object_name, record_id, "files", field)
        size = opened.download(at, out, run=run, image=image)
    output.say(f"{output.visible(str(out))}: {output.size(size)}, as stored.")


def _records(records: Iterable[dict[str, Any]]) -> None:
    for record in records:
        label = f" {record['label']}" if record["label"] else ""
        merged = f", merged into {record['merged_into']}" if record["merged_into"] else ""
        when = f", modified {output.moment(record['modified_at'])}" if record["modified_at"] else ""
        head = f"{record['operation']} {record['record_id']}{label} (run {record['run']}{when}{merged})"
        output.say(output.visible(head))
        width = max((len(each["field"]) for each in record["fields"]), default=0)
        for each in record["fields"]:
            output.say(f"  {output.visible(each['field']).ljust(width)}  {_values(each)}")


def _values(change: dict[str, Any]) -> str:
    before, after = change["before"], change["after"]
    if before is None:
        return _value(after)
    return f"{_value(before)} -> {_value(after)}"


def _value(value: str | None) -> str:
    return "(empty)" if value is None else output.shortened(value)
