"""What an org offers to a backup, as a table that can be sorted and filtered: for `connection` and for `job`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

from holdfast.launcher.commands import output
from holdfast.launcher.commands.failure import CommandError, ExitCode


class Sort(StrEnum):
    """By what the table is sorted."""

    name = "name"
    records = "records"
    strategy = "strategy"


Recommended = Annotated[bool, typer.Option("--recommended", help="Only objects that are recommended.")]
NotRecommended = Annotated[bool, typer.Option("--not-recommended", help="Only objects that are not recommended.")]
Search = Annotated[str, typer.Option(help="Only objects whose name or label contains this.")]
SortBy = Annotated[Sort, typer.Option("--sort", help="Order of the rows; most records first.")]


def chosen(
    items: list[dict[str, Any]], *, recommended: bool, not_recommended: bool, search: str, sort: Sort
) -> list[dict[str, Any]]:
    """The objects asked for, in the order asked for.

    Raises:
        CommandError: USAGE: both filters at once leave nothing.
    """
    if recommended and not_recommended:
        raise CommandError("Give --recommended or --not-recommended, not both.", ExitCode.USAGE)
    found = [each for each in items if each["recommended"] or not recommended]
    found = [each for each in found if not (each["recommended"] and not_recommended)]
    word = search.lower()
    found = [each for each in found if word in each["name"].lower() or word in each["label"].lower()]
    orders: dict[Sort, Any] = {
        Sort.name: lambda each: each["name"].lower(),
        Sort.records: lambda each: (-each["rows"], each["name"].lower()),
        Sort.strategy: lambda each: (each["strategy"], each["name"].lower()),
    }
    return sorted(found, key=orders[sort])


def print_objects(items: list[dict[str, Any]], *, as_json: bool) -> None:
    """The objects as a table, or as they came; says so if there are none."""
    if as_json:
        output.print_json(items)
        return
    if not items:
        output.say("No object matches.")
        return
    of_a_job = any(each["selected"] is not None for each in items)
    columns = ["Object", "Records", *(["Selected"] if of_a_job else []), "Recommended", "Strategy", "Managed"]
    rows = [
        [
            each["name"],
            f"{each['rows']:,}",
            *(["yes" if each["selected"] else "no"] if of_a_job else []),
            "yes" if each["recommended"] else f"no: {each['reason']}",
            _strategy(each),
            each["namespace"],
        ]
        for each in items
    ]
    output.print_table(columns, rows, right=["Records"], sparse=["Managed"])


def _strategy(each: dict[str, Any]) -> str:
    return f"{each['strategy']} ({each['strategy_detail']})" if each["strategy_detail"] else str(each["strategy"])
