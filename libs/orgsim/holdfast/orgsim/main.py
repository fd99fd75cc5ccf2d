"""`holdfast org …`: serve a local Salesforce org and talk to a running one."""

from __future__ import annotations

import json
import os
import secrets
import sys
from dataclasses import replace
from datetime import timedelta
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer

from holdfast.orgsim.greeting import tell as greet
from holdfast.orgsim.greeting import tell_json
from holdfast.orgsim.ledger import commands as ledger_commands
from holdfast.orgsim.org import Org, OrgSettings
from holdfast.orgsim.plans import OrgPlan, PlanError, from_arguments, from_file
from holdfast.orgsim.remote import ask
from holdfast.orgsim.schema.document import Document, SchemaError, read_document
from holdfast.orgsim.serving import Ports, end_in_order
from holdfast.orgsim.serving import serve as serve_org
from holdfast.orgsim.store import loading

app = typer.Typer(help="A Salesforce org that runs locally.", no_args_is_help=True, pretty_exceptions_show_locals=False)
app.add_typer(ledger_commands.app, name="ledger")
SECRET_VARIABLE = "ORGSIM_CLIENT_SECRET"  # noqa: S105 - its name; arguments would be seen by every user of the machine
DEMO_DATA = (Path("demo/data/npsp-1k"), Path("demo/data/dotgov"))  # from the root of the repository
Url = Annotated[str, typer.Option("--url", help="Address of a running org.")]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"orgsim {metadata.version('holdfast-orgsim')}")
        raise typer.Exit


@app.callback()
def orgsim(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """A Salesforce org that runs locally."""


@app.command()
def serve(
    port: Annotated[int, typer.Option(min=0, max=65535, help="http; 0 takes a free port.")] = 0,
    https_port: Annotated[int, typer.Option(min=0, max=65535, help="https; 0 takes a free port.")] = 0,
    proxy_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Forward proxy (CONNECT); 0 takes a free port.")
    ] = 0,
    https: Annotated[bool, typer.Option(help="Also listen on https and for proxy clients.")] = True,
    org: Annotated[
        list[str] | None, typer.Option(help="NAME or NAME=sandbox|developer|scratch; repeatable, the first is default.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="TOML file with org tables, instead of --org.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Folder for the ledger file and the CA.")] = None,
    load: Annotated[
        list[Path] | None, typer.Option(help="Folder or .csv (dotgov) for the first org; repeatable.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Data set made by `generate`: the first org serves it from its files.")
    ] = None,
    multiply: Annotated[int, typer.Option(min=1, help="Copies of each loaded folder.")] = 1,
    schema: Annotated[Path | None, typer.Option(help="JSON file of objects, fields and switches of every org.")] = None,
    ready_file: Annotated[Path | None, typer.Option(help="Written as JSON once the org serves.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the addresses as one line of JSON.")] = False,
    parent_pid: Annotated[int | None, typer.Option(help="Exit when this parent process is gone.")] = None,
    client_secret_file: Annotated[
        Path | None, typer.Option(help=f"Secret of the connected app; else {SECRET_VARIABLE}, else random.")
    ] = None,
    jwt_public_key: Annotated[Path | None, typer.Option(help="PEM of the connected app's certificate key.")] = None,
    api_limit: Annotated[int, typer.Option(min=0, help="API requests per 24 hours.")] = 100_000,
    session_s: Annotated[float, typer.Option(min=0, help="Session timeout in seconds.")] = 7200,
    bulk_page_bytes: Annotated[
        int, typer.Option(min=1, help="Size of a Bulk result page whose client asks for no number of rows.")
    ] = 200_000_000,
    gzip: Annotated[bool, typer.Option(help="Compress for clients that ask for it.")] = True,
) -> None:
    """Serve one or more orgs on 127.0.0.1 until stopped."""
    end_in_order()
    settings = OrgSettings(
        api_limit=api_limit,
        session_lifetime=timedelta(seconds=session_s),
        bulk_page_bytes=bulk_page_bytes,
        public_key_pem=_text(jwt_public_key, "--jwt-public-key") if jwt_public_key else None,
        ledger_folder=data_dir,
        compress=gzip,
        document=_document(schema),
    )
    from_environment = os.environ.get(SECRET_VARIABLE)
    secret = _text(client_secret_file, "--client-secret-file").strip() if client_secret_file else from_environment
    if secret:
        settings.client_secret = secret
    try:
        plans = from_file(config, settings) if config else from_arguments(org or [], settings)
    except PlanError as error:
        raise typer.BadParameter(str(error)) from error
    plans[0] = replace(
        plans[0],
        load=[*([data] if data else []), *plans[0].load, *(load or [])],
        multiply=max(multiply, plans[0].multiply),
    )
    orgs = [_made(plan) for plan in plans]
    ports = Ports(port, https_port if https else None, proxy_port)
    ca_folder = data_dir or (ready_file.parent if ready_file else None)
    tell = tell_json if as_json else partial(greet, shows_secret=not secret)
    try:
        serve_org(orgs, ports=ports, ca_folder=ca_folder, ready_file=ready_file, parent_pid=parent_pid, tell=tell)
    except OSError as error:
        typer.echo(f"orgsim cannot serve: {error}", err=True)
        raise typer.Exit(1) from error


@app.command()
def generate(
    rows: Annotated[int, typer.Option(min=1, help="Rows to make.")],
    out: Annotated[Path, typer.Option(help="Folder for the data set; for `serve --data`.")] = Path("orgsim-data"),
    sources: Annotated[
        list[Path] | None,
        typer.Option("--from", help="Real rows to multiply, as for --load; repeatable. The demo's unless given."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed makes the same rows; drawn if absent.")] = None,
) -> None:
    """Make a large data set out of a small real one."""
    from holdfast.orgsim.store.generate import generate as make  # noqa: PLC0415 - brings pyarrow

    seed = secrets.randbelow(1_000_000) if seed is None else seed
    try:
        counts = make(out, sources or DEMO_DATA, rows, seed)
    except (FileExistsError, FileNotFoundError) as error:
        raise typer.BadParameter(str(error)) from error
    for name, count in counts.items():
        typer.echo(f"{name:<32}{count:>12,}")
    typer.echo(f"{sum(counts.values()):,} rows in {out}, seed {seed}")


@app.command("load")
def load_into(url: Url, path: Path, multiply: Annotated[int, typer.Option(min=1)] = 1) -> None:
    """Load data into a running org."""
    body: dict[str, str | int] = {"path": str(path.resolve()), "multiply": multiply}
    sys.stdout.write(ask("POST", url, "/_org/load", json=body, timeout_s=120))


@app.command()
def state(url: Url, object_name: Annotated[str, typer.Option("--object")]) -> None:
    """Print every record of an object as JSON lines."""
    sys.stdout.write(ask("GET", url, "/_org/state", params={"object": object_name}, timeout_s=60))


@app.command()
def script(
    url: Url,
    file: Annotated[Path | None, typer.Argument(help="A script: one fault, a list, or an object.")] = None,
    scenario: Annotated[str | None, typer.Option(help="Set a named scenario instead of a file.")] = None,
    listing: Annotated[bool, typer.Option("--list", help="Print the named scenarios.")] = False,
) -> None:
    """Set the faults of a JSON file or of a scenario."""
    if [listing, scenario is not None, file is not None].count(True) != 1:
        raise typer.BadParameter("one of a file, --scenario and --list is needed")
    if listing:
        for name, about in json.loads(ask("GET", url, "/_org/faults?scenarios", timeout_s=10)).items():
            typer.echo(f"{name:<16} {about}")
    elif scenario is not None:
        sys.stdout.write(ask("POST", url, "/_org/faults", json={"scenario": scenario}, timeout_s=10))
    elif file is not None:
        sys.stdout.write(ask("POST", url, "/_org/faults", content=_text(file, "file").encode(), timeout_s=10))


@app.command()
def reset(url: Url, data: Annotated[bool, typer.Option(help="Bring the loaded rows back, too.")] = False) -> None:
    """Clear faults, counters and used-up limits."""
    sys.stdout.write(ask("POST", url, "/_org/reset", json={"data": data}, timeout_s=300))


def _text(path: Path, argument: str) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise typer.BadParameter(f"{path}: {reason}", param_hint=argument) from error


def _document(path: Path | None) -> Document | None:
    try:
        return None if path is None else read_document(path)
    except SchemaError as error:
        raise typer.BadParameter(str(error), param_hint="--schema") from error


def _made(plan: OrgPlan) -> Org:
    try:
        made = Org(plan.settings)
    except SchemaError as error:
        raise typer.BadParameter(str(error), param_hint="--schema") from error
    except OSError as error:
        raise typer.BadParameter(str(error), param_hint="--data-dir") from error
    for path in plan.load:
        try:
            loading.load_path(made, path, multiply=plan.multiply)
        except (OSError, ValueError) as error:
            raise typer.BadParameter(str(error)) from error
    return made


if __name__ == "__main__":
    app()
