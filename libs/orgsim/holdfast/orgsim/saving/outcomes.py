"""What became of each row of a batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import polars as pl

from holdfast.orgsim.errors import ApiError

SCHEMA = {"row": pl.UInt32, "id": pl.String, "created": pl.Boolean, "status": pl.Int16, "code": pl.String,
          "message": pl.String, "fields": pl.String}  # fmt: skip


class Outcomes:
    """One line per row, in the order in which the rows were given.

    `frame` has `row`, `id` (null for a refused insert), `created`, and, for refused rows, `status`, `code`, `message`
    and `fields` (joined by commas; null if the error names none). A saved row has no code.
    """

    def __init__(self, frame: pl.DataFrame) -> None:
        self.frame = frame

    @classmethod
    def gather(cls, parts: Iterable[pl.DataFrame]) -> Outcomes:
        """Lines from several frames; columns that a frame lacks are null."""
        empty = pl.DataFrame(schema=SCHEMA)
        whole = pl.concat([empty, *parts], how="diagonal")
        return cls(whole.sort("row").with_columns(pl.col("created").fill_null(value=False)))

    def __len__(self) -> int:
        return self.frame.height

    @property
    def failed(self) -> int:
        """How many rows were refused."""
        return self.frame.height - self.frame["code"].null_count()

    def __iter__(self) -> Iterator[tuple[str | None, bool, ApiError | None]]:
        """(id, whether it was created, why it was refused) of each row."""
        for line in self.frame.iter_rows(named=True):
            yield line["id"], line["created"], None if line["code"] is None else error_of(line)

    def single(self) -> tuple[str, bool]:
        """The only row's id and whether it was created.

        Raises:
            ApiError: it was refused.
        """
        ((record_id, created, error),) = self
        if error is not None:
            raise error
        assert record_id is not None
        return record_id, created


def error_of(line: Mapping[str, Any]) -> ApiError:
    """The error of a line that tells of a refusal."""
    fields = None if line["fields"] is None else [name for name in line["fields"].split(",") if name]
    return ApiError(line["status"], line["code"], line["message"], fields)
