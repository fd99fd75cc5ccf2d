"""The `holdfast` command.

Help must be instant, so nothing here imports a service, httpx or rich: each command does when it runs.
"""

# Help is instant because commands import what they need when they run.
# ruff: noqa: PLC0415

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from holdfast.launcher.commands import changes, connection, job, outbox, parked, processes, runs, verify
from holdfast.launcher.commands.failure import CommandError, ExitCode


class _Root(TyperGroup):
    """Ends every command that fails with a sentence on standard error, never with a traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except CommandError as failure:
            prefix = "" if failure.code == ExitCode.INTERRUPTED else "Error: "
            typer.echo(prefix + failure.sentence, err=True)
            raise typer.Exit(failure.code) from None
        except BrokenPipeError:
            # Who read our output has gone, as `head` does: nobody is left to tell.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(ExitCode.OK) from None
        except (typer.Exit, typer.Abort, KeyboardInterrupt):
            raise
        except Exception as error:
            sentence = _sentence_of(error)
            if sentence is None:
                raise
            typer.echo(f"Error: {sentence}", err=True)
            raise typer.Exit(ExitCode.NOT_WHOLE) from None


def _sentence_of(error: Exception) -> str | None:
    """The sentence of an error that is meant for people; None for a bug, whose traceback is wanted."""
    from holdfast.common.errors import HoldfastError
    from holdfast.launcher.stack.errors import StackError

    if isinstance(error, HoldfastError):
        return error.message
    return str(error) if isinstance(error, StackError) else None


app = typer.Typer(
    cls=_Root,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("up")(processes.up)
app.command("demo")(processes.demo)
app.add_typer(connection.app, name="connection")
app.add_typer(job.app, name="job")
app.add_typer(runs.app, name="runs")
app.command("changes")(changes.changes)
app.add_typer(changes.record_app, name="record")
app.command("verify")(verify.verify)
app.add_typer(parked.app, name="parked")
app.add_typer(outbox.app, name="outbox")
app.command("run")(processes.run)
app.command(
    "org",
    add_help_option=False,
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)(processes.org)


def _say_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"holdfast {version('holdfast-launcher')}")
        raise typer.Exit(ExitCode.OK)


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", help="Say the version and end.", is_eager=True, callback=_say_version)
    ] = False,
) -> None:
    """Backs up Salesforce orgs and shows exactly what changed."""


def main() -> None:
    """Entry point of the command."""
    try:
        app(prog_name="holdfast")
    except KeyboardInterrupt:
        sys.exit(ExitCode.INTERRUPTED)


if __name__ == "__main__":
    main()
