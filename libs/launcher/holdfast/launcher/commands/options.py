"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DEFAULT_DATA = Path(".holdfast")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]
ApiAddress = Annotated[
    str, typer.Option("--api", envvar="HOLDFAST_API", help="Address of the API; default: from the data folder.")
]
Data = Annotated[Path, typer.Option("--data", envvar="HOLDFAST_DATA", help="Data folder of Holdfast on this machine.")]
Limit = Annotated[int, typer.Option("--limit", min=1, help="Most rows to print.")]
