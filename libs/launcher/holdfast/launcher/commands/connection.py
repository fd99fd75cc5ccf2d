"""`holdfast connection`: the orgs that Holdfast can reach."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

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
from holdfast.launcher.commands.session import open_api, path

app = typer.Typer(help="Salesforce orgs that Holdfast can reach.", no_args_is_help=True)
_STDIN = Path("-")
_SECRET_VARIABLE = "HOLDFAST_CLIENT_SECRET"  # noqa: S105 - a variable's name


@app.command("add")
def add(
    name: Annotated[str, typer.Argument(help="What to call the org.")],
    login_url: Annotated[str, typer.Option(help="My Domain URL, such as https://acme.my.salesforce.com.")],
    client_id: Annotated[str, typer.Option(envvar="HOLDFAST_CLIENT_ID", help="Consumer key of the app.")],
    client_secret_file: Annotated[
        Path | None,
        typer.Option(help=f"File with the consumer secret, '-' for standard input. Or set {_SECRET_VARIABLE}."),
    ] = None,
    private_key_file: Annotated[
        Path | None, typer.Option(help="File with the PEM private key: signs in with the JWT bearer flow.")
    ] = None,
    username: Annotated[str, typer.Option(help="Whom to act as, with --private-key-file.")] = "",
    api: ApiAddress = "",
    data: Data = DEFAULT_DATA,
    as_json: Json = False,
) -> None:
    """Sign in to an org and keep the connection. Asks for the client secret if nothing says where it is."""
    if client_secret_file and private_key_file:
        raise CommandError("Give --client-secret-file or --private-key-file, not both.", ExitCode.USAGE)
    if private_key_file and not username:
        raise CommandError("--private-key-file needs --username: the user to act as.", ExitCode.USAGE)
    if not login_url.startswith(("https://", "http://")):
        raise CommandError(f"--login-url is a whole address, such as https://{login_url}.", ExitCode.USAGE)
    body: dict[str, Any] = {
        "name": name,
        "login_url": login_url,
        "flow": "jwt-bearer" if private_key_file else "client-credentials",
        "client_id": client_id,
        "secret": _secret(client_secret_file, private_key_file),
        "username": username,
    }
    with open_api(api, data) as found:
        made = found.post("/v1/connections", body)
    if as_json:
        output.print_json(made)
        return
    who = made["organization_name"] or made["organization_id"]
    output.say(
        output.visible(f"Connected '{made['name']}' to {who} ({made['organization_id']}) as {made['username']}.")
    )
    _warn(made)


def _secret(client_secret_file: Path | None, private_key_file: Path | None) -> str:
    file = client_secret_file or private_key_file
    if file == _STDIN:
        secret = sys.stdin.read()
    elif file is not None:
        try:
            secret = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text"
            raise CommandError(f"{file} cannot be read: {reason}.", ExitCode.USAGE) from None
    elif os.environ.get(_SECRET_VARIABLE):
        secret = os.environ[_SECRET_VARIABLE]
    elif sys.stdin.isatty():
        secret = typer.prompt("Client secret", hide_input=True)
    else:
        sentence = f"Where is the client secret? Give --client-secret-file or set {_SECRET_VARIABLE}."
        raise CommandError(sentence, ExitCode.USAGE)
    if not secret.strip():
        raise CommandError("The secret is empty.", ExitCode.USAGE)
    return secret.strip()


def _warn(connection: dict[str, Any]) -> None:
    for warning in connection["warnings"]:
        output.say(output.visible(f"Note: {warning}"))


@app.command("list")
def list_(api: ApiAddress = "", data: Data = DEFAULT_DATA, as_json: Json = False) -> None:
    """All connections."""
    with open_api(api, data) as found:
        connections = list(found.items("/v1/connections"))
    if as_json:
        output.print_json(connections)
    elif not connections:
        output.say("There are no connections yet. Add one with 'holdfast connection add'.")
    else:
        rows = [[c["name"], c["organization_name"], c["instance_url"], c["status"], _calls(c)] for c in connections]
        output.print_table(["Name", "Org", "Instance", "Status", "API calls"], rows, right=["API calls"])


@app.command("test")
def test(
    name: Annotated[str, typer.Argument(help="Name or id of the connection.")],
    api: ApiAddress = "",
    data: Data = DEFAULT_DATA,
    as_json: Json = False,
) -> None:
    """Sign in anew and ask the org who it is. Exit code 1 if the connection is broken."""
    with open_api(api, data) as found:
        connection = found.post(path("connections", name, "tests"))
    if as_json:
        output.print_json(connection)
    else:
        _describe(connection)
    if connection["status"] != "ok":
        raise typer.Exit(ExitCode.NOT_WHOLE)


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(help="Name or id of the connection.")],
    api: ApiAddress = "",
    data: Data = DEFAULT_DATA,
    as_json: Json = False,
) -> None:
    """One connection, with what its user cannot see."""
    with open_api(api, data) as found:
        connection = found.get(path("connections", name))
    if as_json:
        output.print_json(connection)
    else:
        _describe(connection)


@app.command("objects")
def objects(
    name: Annotated[str, typer.Argument(help="Name or id of the connection.")],
    recommended: Recommended = False,
    not_recommended: NotRecommended = False,
    search: Search = "",
    sort: SortBy = Sort.name,
    api: ApiAddress = "",
    data: Data = DEFAULT_DATA,
    as_json: Json = False,
) -> None:
    """What the org offers to a backup: its objects, with counts, and how each is read."""
    with open_api(api, data) as found:
        items = list(found.get(path("connections", name, "objects"))["items"])
    items = chosen(items, recommended=recommended, not_recommended=not_recommended, search=search, sort=sort)
    print_objects(items, as_json=as_json)


def _describe(connection: dict[str, Any]) -> None:
    output.print_fields(
        [
            ("Connection", connection["name"]),
            ("Org", f"{connection['organization_name']} ({connection['organization_id']})"),
            ("Instance", connection["instance_url"]),
            ("User", connection["username"]),
            ("Status", connection["status"]),
            ("Reason", connection["status_reason"]),
            ("API calls", _calls(connection)),
        ]
    )
    _warn(connection)


def _calls(connection: dict[str, Any]) -> str:
    if not connection["api_calls_limit"]:
        return ""
    return f"{connection['api_calls_used']:,} of {connection['api_calls_limit']:,}"
