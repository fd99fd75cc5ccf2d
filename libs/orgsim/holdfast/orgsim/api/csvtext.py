"""CSV as both Bulk APIs write it: every value quoted, quotes doubled, null as empty text."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

import polars as pl


def lines(values: Iterable[Sequence[str]], separator: str = ",", newline: str = "\n") -> bytes:
    """Lines of texts, a header for one."""
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=separator, quoting=csv.QUOTE_ALL, lineterminator=newline).writerows(values)
    return text.getvalue().encode()


def rows(frame: pl.DataFrame, separator: str = ",", newline: str = "\n") -> bytes:
    """The rows of a frame, without its column names."""
    if not frame.height or not frame.width:
        return b""
    target = io.BytesIO()
    frame.write_csv(target, include_header=False, separator=separator, line_terminator=newline, quote_style="always")
    return target.getvalue()
