"""What commands print: tables for people, aligned text for pipes, one JSON document for programs.

Values come from an org and may hold anything: control characters are shown, never sent to the terminal.
"""

# Help is instant because commands import what they need when they run.
# ruff: noqa: PLC0415

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Any

_VISIBLE = {code: f"\\x{code:02x}" for code in [*range(0x20), *range(0x7F, 0xA0)]} | {
    0x0A: "\\n",
    0x0D: "\\r",
    0x09: "\\t",
    0x1B: "\\e",
    **{code: f"\\u{code:04x}" for code in [*range(0x202A, 0x202F), *range(0x2066, 0x206A)]},
}
_LONGEST_VALUE = 200
_KIB = 1024.0


def on_terminal() -> bool:
    """Whether a person looks at standard output."""
    return sys.stdout.isatty()


def visible(value: object) -> str:
    """A value as text without control characters and direction overrides."""
    return str(value).translate(_VISIBLE).encode("utf-8", "replace").decode()


def shortened(value: str) -> str:
    """A value that fits on a few lines; says how long it was."""
    if len(value) <= _LONGEST_VALUE:
        return visible(value)
    return f"{visible(value[:_LONGEST_VALUE])}… ({len(value):,} characters; --json prints all)"


def say(line: str = "") -> None:
    """A line of text."""
    print(line)


def print_json(document: Any) -> None:
    """One JSON document."""
    print(json.dumps(document, indent=2, ensure_ascii=False))


def print_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    right: Sequence[str] = (),
    sparse: Sequence[str] = (),
) -> None:
    """A table; ruled on a terminal, aligned columns in a pipe.

    Args:
        right: Columns of figures.
        sparse: Columns that a terminal, which is narrow, is spared when they say nothing in any row.
    """
    cells = [[visible(cell) for cell in row] for row in rows]
    if on_terminal():
        kept = [place for place, name in enumerate(columns) if name not in sparse or _says_something(cells, place)]
        _boxed([columns[place] for place in kept], [[row[place] for place in kept] for row in cells], right)
    else:
        _aligned(columns, cells, right)


def _says_something(rows: list[list[str]], place: int) -> bool:
    return any(row[place] not in ("", "0", "-") for row in rows)


def _boxed(columns: Sequence[str], rows: list[list[str]], right: Sequence[str]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for place, column in enumerate(columns):
        whole = place == 0 or column in right
        table.add_column(column, justify="right" if column in right else "left", overflow="fold", no_wrap=whole)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console(highlight=False).print(table)


def _aligned(columns: Sequence[str], rows: list[list[str]], right: Sequence[str]) -> None:
    lines = [list(columns), *rows]
    widths = [max(len(line[place]) for line in lines) for place in range(len(columns))]
    for line in lines:
        cells = [
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, cell, width in zip(columns, line, widths, strict=True)
        ]
        print("  ".join(cells).rstrip())


def print_fields(pairs: Sequence[tuple[str, object]]) -> None:
    """Name and value, one a line; empty values are left out."""
    shown = [(name, value) for name, value in pairs if value not in (None, "", [])]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        print(f"{name.ljust(width)}  {visible(value)}")


def moment(text: str | None) -> str:
    """A time of the API, to the second, UTC."""
    if not text:
        return ""
    return datetime.fromisoformat(text).strftime("%Y-%m-%d %H:%M:%S")


def duration(seconds: float) -> str:
    """A span as people write it: 0.4 s, 12 s, 3 min 05 s, 2 h 07 min."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def span(begin: str | None, end: str | None) -> str:
    """The time between two times of the API."""
    if not begin or not end:
        return ""
    return duration((datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds())


def size(count: float) -> str:
    """Bytes as people write them."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < _KIB:
            return f"{count:,.0f} {unit}" if unit == "B" else f"{count:,.1f} {unit}"
        count /= _KIB
    return f"{count:,.1f} TiB"
