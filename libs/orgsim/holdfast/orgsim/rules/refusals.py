"""Which rows of a batch were refused, and in which words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from holdfast.orgsim.errors import ApiError

SCHEMA = {"row": pl.UInt32, "status": pl.Int16, "code": pl.String, "message": pl.String, "fields": pl.String}


class Refusals:
    """Refused rows by number. Of several refusals of a row the first counts."""

    def __init__(self) -> None:
        self._refused: pl.Series | None = None
        self._parts: list[pl.DataFrame] = []

    def __bool__(self) -> bool:
        return bool(self._parts)

    def mask(self, height: int) -> pl.Series:
        """Which of `height` rows are refused."""
        if self._refused is None:
            return pl.Series([False], dtype=pl.Boolean).new_from_index(0, height)
        return self._refused

    def add(
        self,
        mask: pl.Series,
        code: str,
        message: str | pl.Series,
        fields: Sequence[str] | None = (),
        *,
        status: int = 400,
    ) -> None:
        """Refuse the rows of the mask that stand so far. `message`: one for all, or one per row of the batch.

        `fields` None means that the error names no fields at all, as for a record that is not there.
        """
        fresh = mask.fill_null(value=False)
        if self._refused is not None:
            fresh = fresh & ~self._refused
        rows = fresh.arg_true()
        if not len(rows):
            return
        self._refused = fresh if self._refused is None else self._refused | fresh
        text = pl.lit(message) if isinstance(message, str) else message.gather(rows)
        named = pl.lit(None if fields is None else ",".join(fields), dtype=pl.String)
        self._parts.append(
            pl.DataFrame({"row": rows.cast(pl.UInt32)}).select(
                "row",
                pl.lit(status, dtype=pl.Int16).alias("status"),
                pl.lit(code).alias("code"),
                text.alias("message"),
                named.alias("fields"),
            )
        )

    def add_errors(self, errors: Mapping[int, ApiError], height: int) -> None:
        """Refuse rows of `height`, each with an error of its own. Only rows that stand so far."""
        refused = self.mask(height)
        fresh = {row: error for row, error in errors.items() if not refused[row]}
        if not fresh:
            return
        rows = pl.Series("row", list(fresh), dtype=pl.UInt32)
        self._refused = refused.clone().scatter(rows, True)
        found = list(fresh.values())
        columns = {
            "row": rows,
            "status": [error.status for error in found],
            "code": [error.code for error in found],
            "message": [error.message for error in found],
            "fields": [None if error.fields is None else ",".join(error.fields) for error in found],
        }
        self._parts.append(pl.DataFrame(columns, schema=SCHEMA))

    def take(self, places: pl.Series) -> Refusals:
        """The refusals among the rows at these places, numbered as they stand there."""
        taken = Refusals()
        if self._refused is not None:
            taken._refused = self._refused.gather(places)
            numbers = pl.DataFrame({"row": places.cast(pl.UInt32)}).with_row_index("place")
            part = self.frame().join(numbers, on="row").select(pl.col("place").alias("row"), *list(SCHEMA)[1:])
            taken._parts = [part] if part.height else []
        return taken

    def frame(self) -> pl.DataFrame:
        """One line per refused row: row, status, code, message, fields (joined by commas)."""
        return pl.concat(self._parts) if self._parts else pl.DataFrame(schema=SCHEMA)
