"""Uploaded CSV, read into columns of text. What does not fit the columns is kept apart, as it came."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass, field

import polars as pl

MOST_FIELDS = 5_000
UTF8_MARK = b"\xef\xbb\xbf"
UNESCAPED = "InvalidBatch : Failed to parse CSV. Found unescaped quote. A value with quote should be within a quote"
csv.field_size_limit(2**31 - 1)


class UploadError(Exception):
    """The whole upload cannot be read; the message is the job's `errorMessage`."""


@dataclass
class Upload:
    """The rows of an upload.

    Attributes:
        header: Column names as they were written.
        rows: Columns `0`, `1`, …: the values as text, empty text where there is none.
        places: The number of each row in the upload, the first after the header being 0.
        strange: Rows with more or fewer values than the header, by their number.
    """

    header: list[str]
    rows: pl.DataFrame
    places: pl.Series
    strange: dict[int, list[str]] = field(default_factory=dict)

    @property
    def height(self) -> int:
        """How many rows were sent."""
        return self.rows.height + len(self.strange)


def read_upload(data: bytes, separator: str, newline: str) -> Upload:
    """Read an upload. Invalid UTF-8 becomes U+FFFD; NUL is kept.

    Raises:
        UploadError: its line ending is not the declared one, or quotes do not match.
    """
    first = data.split(b"\n", 1)[0]
    if data and first.endswith(b"\r") != (newline == "\r\n"):
        setting = "CRLF" if newline == "\r\n" else "LF"
        raise UploadError(
            f"ClientInputError : LineEnding is invalid on user data. Current LineEnding setting is {setting}"
        )
    if data.startswith(UTF8_MARK + b'"'):  # the mark is taken for the first value's text
        raise UploadError(UNESCAPED)
    data = _valid_utf8(data)
    upload = _in_columns(data, separator, newline) or _row_by_row(data, separator)
    if len(upload.header) > MOST_FIELDS:
        raise UploadError(f"InvalidBatch : Number of fields in the upload exceeds the maximum of {MOST_FIELDS}")
    return upload


def _valid_utf8(data: bytes) -> bytes:
    try:
        data.decode()
    except UnicodeDecodeError:
        return data.decode("utf-8", "replace").encode()
    return data


def _in_columns(data: bytes, separator: str, newline: str) -> Upload | None:
    """The whole upload at once; None if any row is not as wide as the header or quotes are not as they should be."""
    if not data or data.startswith(UTF8_MARK):
        return None
    try:
        frame = pl.read_csv(
            io.BytesIO(data),
            separator=separator,
            has_header=False,
            infer_schema=False,
            empty_string_is_null=False,
            extra_columns="raise",
        )
    except pl.exceptions.PolarsError:
        return None
    frame = frame.rename({name: str(number) for number, name in enumerate(frame.columns)})
    if not _accounts_for(data, frame, separator, newline):
        return None
    rows = frame.slice(1)
    return Upload(list(frame.row(0)), rows, pl.int_range(rows.height, dtype=pl.UInt32, eager=True))


def _accounts_for(data: bytes, frame: pl.DataFrame, separator: str, newline: str) -> bool:
    """Whether the values, written again, have as many separators, line breaks and quotes as the upload.

    The reader fills up rows that are too short, and takes quotes inside unquoted values for text.
    """
    marks = [separator, "\n", "\r", '"']
    sums = frame.select(
        pl.sum_horizontal(pl.all().str.count_matches(mark, literal=True).sum()).alias(str(n))
        for n, mark in enumerate(marks)
    ).row(0)
    inside = dict(zip(marks, sums, strict=True))
    lines = frame.height - (not data.endswith(b"\n"))
    outside = {separator: frame.height * (frame.width - 1), "\n": lines, "\r": lines if newline == "\r\n" else 0}
    if any(data.count(mark.encode()) != inside[mark] + count for mark, count in outside.items()):
        return False
    quoted = data.count(b'"') // 2 - inside['"']  # values in quotes, if every quote inside one is doubled
    return not inside['"'] or quoted in (frame.height * frame.width, _special(frame, separator))


def _special(frame: pl.DataFrame, separator: str) -> int:
    """How many values cannot be written without quotes."""
    marks = "[" + re.escape(separator) + '\\n\\r"]'
    return int(frame.select(pl.sum_horizontal(pl.all().str.contains(marks).sum())).item())


def _row_by_row(data: bytes, separator: str) -> Upload:
    text = data.decode()
    try:
        lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True))
    except csv.Error as error:
        raise UploadError(UNESCAPED) from error
    header = lines[0] if lines else []
    fitting = [(n, line) for n, line in enumerate(lines[1:]) if len(line) == len(header)]
    strange = {n: line for n, line in enumerate(lines[1:]) if len(line) != len(header)}
    columns = {str(i): [line[i] for _, line in fitting] for i in range(len(header))}
    rows = pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.String))
    return Upload(header, rows, pl.Series([n for n, _ in fitting], dtype=pl.UInt32), strange)
