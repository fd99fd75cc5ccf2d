"""The three result files of an ingest job. Input values are echoed as they came."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence

import polars as pl

from holdfast.orgsim.api.bulk2.uploads import Upload

_OWN = {"successful": ("sf__Id", "sf__Created"), "failed": ("sf__Id", "sf__Error"), "unprocessed": ()}


def head_line(name: str, header: Sequence[str], separator: str, newline: str) -> bytes:
    """The first line of a result file."""
    return _lines([[*_OWN[name], *header]], separator, newline)


def _lines(lines: Iterable[Sequence[str]], separator: str, newline: str) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=separator, quoting=csv.QUOTE_ALL, lineterminator=newline).writerows(lines)
    return text.getvalue().encode()


class ResultFiles:
    """Renders `successful`, `failed` and `unprocessed` in the job's delimiter and line ending."""

    def __init__(self, upload: Upload, separator: str, newline: str) -> None:
        self._upload = upload
        self._separator = separator
        self._newline = newline

    def render(self, outcomes: pl.DataFrame, strange: Mapping[int, str]) -> dict[str, bytes]:
        """The files' contents.

        Args:
            outcomes: One line per row of the upload that was looked at, from its first: `id`, `created`, `error`.
            strange: Why each row that does not fit the header failed, for those that were looked at.
        """
        rows = self._upload.rows.slice(0, outcomes.height)
        whole = rows.with_columns(outcomes)
        good = whole.filter(pl.col("error").is_null())
        bad = whole.filter(pl.col("error").is_not_null())
        created = pl.when("created").then(pl.lit("true")).otherwise(pl.lit("false"))
        left = self._upload.rows.slice(outcomes.height)
        left_strange = [line for number, line in self._upload.strange.items() if number not in strange]
        parts = {
            "successful": (good.select("id", created, *rows.columns), []),
            "failed": (
                bad.select("id", "error", *rows.columns),
                [["", error, *self._upload.strange[number]] for number, error in strange.items()],
            ),
            "unprocessed": (left, left_strange),
        }
        return {name: self._file(name, *part) for name, part in parts.items()}

    def _file(self, name: str, rows: pl.DataFrame, strange: Iterable[Sequence[str]]) -> bytes:
        head = head_line(name, self._upload.header, self._separator, self._newline)
        return head + self._csv(rows) + _lines(strange, self._separator, self._newline)

    def _csv(self, rows: pl.DataFrame) -> bytes:
        if not rows.height or not rows.width:
            return b""
        target = io.BytesIO()
        rows.write_csv(
            target,
            include_header=False,
            separator=self._separator,
            line_terminator=self._newline,
            quote_style="always",
        )
        return target.getvalue()
