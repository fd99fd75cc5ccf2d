"""The three result files of an ingest job. Input values are echoed as they came."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import polars as pl

from holdfast.orgsim.api import csvtext
from holdfast.orgsim.api.bulk2.uploads import Upload

_OWN = {"successful": ("sf__Id", "sf__Created"), "failed": ("sf__Id", "sf__Error"), "unprocessed": ()}


def head_line(name: str, header: Sequence[str], separator: str, newline: str) -> bytes:
    """The first line of a result file."""
    return csvtext.lines([[*_OWN[name], *header]], separator, newline)


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
        form = (self._separator, self._newline)
        head = head_line(name, self._upload.header, *form)
        return head + csvtext.rows(rows, *form) + csvtext.lines(strange, *form)
