"""`holdfast runs`: what ran, and how a run is doing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from holdfast.launcher.commands import output
from holdfast.launcher.commands.failure import CommandError, ExitCode
from holdfast.launcher.commands.files import file_lines, state_of
from holdfast.launcher.commands.options import DEFAULT_DATA, ApiAddress, Data, Json, Limit
from holdfast.launcher.commands.progress import follow_run, forecast_line, run_line
from holdfast.launcher.commands.proofs import ended_how, proof_lines, proof_word, summary
from holdfast.launcher.commands.references import RUN_HELP, job_names, resolve_run
from holdfast.launcher.commands.session import open_api, path

if TYPE_CHECKING:
    from holdfast.launcher.commands.api import Api

app = typer.Typer(help="Runs of backup jobs.", no_args_is_help=True)
Run = Annotated[list[str], typer.Argument(metavar="RUN", help=RUN_HELP)]
_COUNTS = ("captured", "created", "updated", "deleted", "undeleted")


@app.command("list")
def list_(
    job: Annotated[str, typer.Option(help="Only runs of this job.")] = "",
    limit: Limit = 20,
    api: ApiAddress = "",
    data: Data = DEFAULT_DATA,
    as_json: Json = False,
) -> None:
    """Runs, newest first."""
    with open_api(api, data) as found:
        listing = path("jobs", job, "runs") if job else path("runs")
        runs = list(found.items(listing, limit=limit))
        names = {} if as_json or not runs else job_names(found)
    if as_json:
        output.print_json(runs)
    elif not runs:
        output.say("There are no runs yet. Start one with 'holdfast job run JOB'.")
    else:
        columns = [
            "Run",
            "State",
            "Requested (UTC)",
            "Took",
            *(name.capitalize() for name in _COUNTS),
            "Proof",
            "Label",
        ]
        right = ["Took", *(name.capitalize() for name in _COUNTS)]
        output.print_table(
            columns, [_row(run, names) for run in runs], right=right, sparse=[*right[1:], "Proof", "Label"]
        )


def _row(run: dict[str, Any], names: dict[str, str]) -> list[str]:
    return [
        f"{names.get(run['job_id'], run['job_id'])}#{run['number']}",
        state_of(run),
        output.moment(run["requested_at"]),
        output.span(run["requested_at"], run["completed_at"]),
        *(f"{run['counts'][name]:,}" for name in _COUNTS),
        summary(run),
        run["label"],
    ]


@app.command("show")
def show(
    run: Run,
    follow: Annotated[bool, typer.Option("--follow", help="Follow the run until it ends.")] = False,
    api: ApiAddress = "",
    data: Data = DEFAULT_DATA,
    as_json: Json = False,
) -> None:
    """One run and its objects."""
    with open_api(api, data) as opened:
        run_id, rest = resolve_run(opened, run)
        if rest:
            raise CommandError(f"What is '{rest[0]}'? {RUN_HELP}", ExitCode.USAGE)
        if follow:
            follow_to_end(opened, run_id, as_json=as_json)
            return
        found = opened.get(path("runs", run_id))
    if as_json:
        output.print_json(found)
    else:
        print_run(found)


@app.command("pause")
def pause(run: Run, api: ApiAddress = "", data: Data = DEFAULT_DATA, as_json: Json = False) -> None:
    """Stop working on a run until it is resumed or cancelled."""
    _order(run, "pause", "paused. Go on with: holdfast runs resume {id}", api, data, as_json=as_json)


@app.command("resume")
def resume(run: Run, api: ApiAddress = "", data: Data = DEFAULT_DATA, as_json: Json = False) -> None:
    """Let a paused run go on where it was."""
    _order(run, "resume", "goes on. Follow it with: holdfast runs show {id} --follow", api, data, as_json=as_json)


@app.command("cancel")
def cancel(run: Run, api: ApiAddress = "", data: Data = DEFAULT_DATA, as_json: Json = False) -> None:
    """End a run. What it holds stays; the next run reads what this one did not."""
    _order(run, "cancel", "is cancelled. What it holds stays; the next run reads the rest", api, data, as_json=as_json)


def _order(words: list[str], order: str, done: str, address: str, data: Path, *, as_json: bool) -> None:
    with open_api(address, data) as opened:
        run_id, rest = resolve_run(opened, words)
        if rest:
            raise CommandError(f"What is '{rest[0]}'? {RUN_HELP}", ExitCode.USAGE)
        run = opened.post(path("runs", run_id, order), {})
    if as_json:
        output.print_json(run)
    else:
        output.say(f"Run {run['number']} {done.format(id=run_id)}.")


def follow_to_end(api: Api, run_id: str, *, as_json: bool) -> None:
    """Follow a run, print how it ended, and exit with 1 if it did not complete."""
    try:
        run = follow_run(api, run_id, as_json=as_json)
    except KeyboardInterrupt:
        sentence = f"The run goes on. Follow it with: holdfast runs show {run_id} --follow"
        raise CommandError(sentence, ExitCode.INTERRUPTED) from None
    if as_json:
        output.print_json(run)
    else:
        print_run(run)
    if run["state"] != "completed":
        raise typer.Exit(ExitCode.NOT_WHOLE)


def print_run(run: dict[str, Any]) -> None:
    """A run: its objects, then how it stands, in words."""
    columns = ["Object", "State", "Mode", "Rows", *(name.capitalize() for name in _COUNTS), "API calls", "Proof"]
    rows = [
        [
            each["object"],
            each["state"],
            each["mode"],
            f"{each['rows']:,}",
            *(f"{each['counts'][name]:,}" for name in _COUNTS),
            f"{each['api_calls']:,}",
            proof_word(each),
        ]
        for each in run["objects"]
    ]
    if rows:
        output.print_table(columns, rows, right=columns[3:-1], sparse=[*columns[4:-2], "Proof"])
    output.say(_sentence(run))
    if forecast_line(run):
        output.say(forecast_line(run))
    for line in file_lines(run):
        output.say(output.visible(line))
    for gap in run["missing"]:
        output.say(output.visible(f"Missing: {gap['object']}: {gap['reason']}"))
    for line in proof_lines(run):
        output.say(line)
    for note in [*run.get("notes", []), *(note for each in run["objects"] for note in each.get("notes", []))]:
        output.say(output.visible(f"Note: {note}"))


def _sentence(run: dict[str, Any]) -> str:
    if run["state"] in ("requested", "running", "paused"):
        line = run_line(run)
        return line[0].upper() + line[1:]
    took = output.span(run["requested_at"], run["completed_at"])
    line = f"Run {run['number']} {ended_how(run)} in {took}: "
    if run["state"] == "failed":
        return output.visible(line + (run["reason"] or "no reason was given") + ".").replace("..", ".")
    counts = [f"{run['counts'][name]:,} {name}" for name in _COUNTS if run["counts"][name]]
    calls = run["progress"]["api_calls"] if run["progress"] else sum(each["api_calls"] for each in run["objects"])
    return line + (", ".join(counts) or "nothing changed") + f"; {calls:,} API calls."
