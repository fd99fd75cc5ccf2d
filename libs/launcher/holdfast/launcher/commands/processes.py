"""`holdfast run`, `up`, `demo` and `org`: commands that are processes of Holdfast, not clients of it."""

# Help is instant because commands import what they need when they run.
# ruff: noqa: PLC0415

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from holdfast.launcher.commands.failure import ExitCode
from holdfast.launcher.commands.options import DEFAULT_DATA, Data

DEMO_DATA = Path(".holdfast-demo")


def _quiet_grpc() -> None:
    """Keep gRPC's remark on every fork off the terminal: what is forked here is another program, which uses no gRPC."""
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")


def run(
    services: Annotated[list[str], typer.Argument(metavar="SERVICE…|all", help="Services to run in this process.")],
) -> None:
    """Run services in this process.

    They are configured by HOLDFAST_* variables and run until SIGTERM or Ctrl-C.
    """
    import uvloop

    from holdfast.launcher.compose import run_services

    uvloop.run(run_services(services))


def up(
    org_demo: Annotated[bool, typer.Option("--org-demo", help="Also serve a local org with demo data.")] = False,
    s3: Annotated[bool, typer.Option("--s3", help="Keep the vault in a local S3 server.")] = False,
    data: Data = DEFAULT_DATA,
) -> None:
    """Run everything on this machine until Ctrl-C.

    Kafka, Postgres and all services.
    """
    _quiet_grpc()
    import uvloop

    from holdfast.launcher.up import up as run_up

    uvloop.run(run_up(data, org_demo=org_demo, s3=s3))


def demo(
    data: Annotated[Path, typer.Option("--data", help="Folder of the demo; made anew each time.")] = DEMO_DATA,
) -> None:
    """A whole backup on a local org, with proof.

    Backs the org up, changes it, backs it up again, and proves that backup and org agree.
    """
    _quiet_grpc()
    import uvloop

    from holdfast.launcher.demo.run import run_demo

    if not uvloop.run(run_demo(data)):
        raise typer.Exit(ExitCode.NOT_WHOLE)


def org(context: typer.Context) -> None:
    """A Salesforce org that runs locally.

    `holdfast org --help` lists its commands.
    """
    from holdfast.launcher.commands.ledger_diff import diff
    from holdfast.orgsim.ledger import commands as ledger
    from holdfast.orgsim.main import app

    ledger.app.command("diff")(diff)
    app(args=context.args, prog_name="holdfast org")
