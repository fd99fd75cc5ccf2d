"""`holdfast job`: what is backed up, and running it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from holdfast.launcher.commands import output
from holdfast.launcher.commands.failure import CommandError, ExitCode
from holdfast.launcher.commands.objects import (
    NotRecommended,
    Recommended,
    Search,
    Sort,
    SortBy,
    chosen,
    print_objects,
)
from holdfast.launcher.commands.options import DEFAULT_DATA, ApiAddress, Data, Json
from holdfast.launcher.commands.plans import print_plan
from holdfast.launcher.commands.runs import follow_to_end
from holdfast.launcher.commands.session import open_api, path

if TYPE_CHECKING:
    from holdfast.launcher.commands.api import Api

app = typer.Typer(help="Backup jobs.", no_args_is_help=True)
Job = Annotated[str, typer.Argument(help="Name or id of the job.")]
ApiLimit = Annotated[
    int,
    typer.Option(min=1, max=100, help="Percentage of the org's daily API calls, by everybody, at which runs wait."),
]


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="What to call the job.")],
    connection: Annotated[str, typer.Option(help="Name or id; may be left out while there is only one.")] = "",
    objects: Annotated[
        list[str] | None,
        typer.Option("--object", help="An object to back up; repeat for more. Default: all recommended ones."),
    ] = None,
    cron: Annotated[str, typer.Option(help="When to run, five fields, such as '0 2 * * *'.")] = "",
    time_zone: Annotated[str, typer.Option(help="Time zone of --cron, such as Europe/Berlin.")] = "UTC",
    api_limit: ApiLimit = 80,
    api: ApiAddress = "",
    data: Data = DEFAULT_DATA,
    as_json: Json = False,
) -> None:
    """Create a backup job."""
    with open_api(api, data) as found:
        body: dict[str, Any] = {
            "name": name,
            "connection": connection or _only_connection(found),
            "cron": cron,
            "time_zone": time_zone,
            "api_limit_percent": api_limit,
        }
        if objects is not None and objects != []:
            body["objects"] = [part.strip() for each in objects for part in each.split(",")]
        job = found.post("/v1/jobs", body)
    if as_json:
        output.print_json(job)
        return
    what = f"{len(job['objects'])} objects" if job["objects"] else "all recommended objects"
    when = f", next at {output.moment(job['next_run_at'])} UTC" if job["next_run_at"] else ""
    output.say(output.visible(f"Created the job '{job['name']}': {what}{when}."))
    _warn(job)
    output.say(output.visible(f"Run it now with: holdfast job run {job['name']}"))


def _warn(job: dict[str, Any]) -> None:
    for warning in job.get("warnings", []):
        output.say(output.visible(f"Note: {warning}"))


def _only_connection(api: Api) -> str:
    connections = list(api.items("/v1/connections"))
    if len(connections) == 1:
        return str(connections[0]["id"])
    if connections:
        offer = ", ".join(each["name"] for each in connections)
        raise CommandError(f"There are several connections; choose one with --connection: {offer}.", ExitCode.USAGE)
    raise CommandError("There is no connection yet. Add one with 'holdfast connection add'.", ExitCode.REFUSED)


@app.command("list")
def list_(api: ApiAddress = "", data: Data = DEFAULT_DATA, as_json: Json = False) -> None:
    """All jobs."""
    with open_api(api, data) as found:
        jobs = list(found.items("/v1/jobs"))
    if as_json:
        output.print_json(jobs)
    elif not jobs:
        output.say("There are no jobs yet. Create one with 'holdfast job create'.")
    else:
        rows = [[j["name"], j["status"], _last(j), j["cron"], output.moment(j["next_run_at"])] for j in jobs]
        output.print_table(["Job", "Status", "Last run", "Schedule", "Next run (UTC)"], rows)


def _last(job: dict[str, Any]) -> str:
    run = job["last_run"]
    return f"#{run['number']} {run['state']} {output.moment(run['completed_at'])}".rstrip() if run else ""


@app.command("show")
def show(job: Job, api: ApiAddress = "", data: Data = DEFAULT_DATA, as_json: Json = False) -> None:
    """One job."""
    with open_api(api, data) as opened:
        found = opened.get(path("jobs", job))
    if as_json:
        output.print_json(found)
        return
    schedule = f"{found['cron']} ({found['time_zone']})" if found["cron"] else "only when asked for"
    output.print_fields(
        [
            ("Job", found["name"]),
            ("Id", found["id"]),
            ("Connection", found["connection_id"]),
            ("Objects", ", ".join(found["objects"]) or "all recommended"),
            ("Schedule", schedule),
            ("API limit", f"{found['api_limit_percent']} % of the org's daily calls"),
            ("Next run", output.moment(found["next_run_at"])),
            ("Status", found["status"]),
            ("Last run", _last(found)),
        ]
    )
    _warn(found)


@app.command("objects")
def objects(
    job: Job,
    recommended: Recommended = False,
    not_recommended: NotRecommended = False,
    search: Search = "",
    sort: SortBy = Sort.name,
    api: ApiAddress = "",
    data: Data = DEFAULT_DATA,
    as_json: Json = False,
) -> None:
    """Objects of the job's org: records, whether the job takes them, why not recommended, how they are read."""
    with open_api(api, data) as found:
        items = list(found.get(path("jobs", job, "objects"))["items"])
    items = chosen(items, recommended=recommended, not_recommended=not_recommended, search=search, sort=sort)
    print_objects(items, as_json=as_json)


@app.command("plan")
def plan(
    job: Job,
    full: Annotated[bool, typer.Option("--full", help="Plan to read every record again.")] = False,
    api: ApiAddress = "",
    data: Data = DEFAULT_DATA,
    as_json: Json = False,
) -> None:
    """How the next run would read each object, with calls and time. Asks the org, begins nothing."""
    with open_api(api, data) as found:
        planned = found.get(path("jobs", job, "plan"), full=full)
    if as_json:
        output.print_json(planned)
    else:
        print_plan(planned)


@app.command("edit")
def edit(job: Job, api_limit: ApiLimit, api: ApiAddress = "", data: Data = DEFAULT_DATA, as_json: Json = False) -> None:
    """Change settings of a job; they hold from its next run on."""
    with open_api(api, data) as found:
        changed = found.patch(path("jobs", job), {"api_limit_percent": api_limit})
    if as_json:
        output.print_json(changed)
    else:
        output.say(
            output.visible(f"The job '{changed['name']}' waits at {changed['api_limit_percent']} % from now on.")
        )


@app.command("run")
def run(
    job: Job,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Follow the run until it ends.")] = True,
    full: Annotated[bool, typer.Option("--full", help="Read every record again, not only what changed.")] = False,
    label: Annotated[str, typer.Option(help="Why, for people who read the list of runs.")] = "",
    api: ApiAddress = "",
    data: Data = DEFAULT_DATA,
    as_json: Json = False,
) -> None:
    """Run a job now and follow it. Exit code 1 if the run ends partial or failed."""
    with open_api(api, data) as found:
        started = found.post(path("jobs", job, "runs"), {"label": label, "full": full})
        if wait:
            follow_to_end(found, started["id"], as_json=as_json)
            return
    if as_json:
        output.print_json(started)
    else:
        output.say(f"Requested run {started['number']}. Follow it with: holdfast runs show {started['id']} --follow")
