"""The result of a query job as CSV pages. Rows are fixed when the job is made; text is made once per page."""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import Sequence

import polars as pl

from holdfast.orgsim.errors import ApiError

SAMPLE_ROWS = 2_000


class Pages:
    """Pages of one result. A locator names the row it begins at, so it never changes."""

    def __init__(
        self,
        frame: pl.DataFrame,
        header: Sequence[str],
        *,
        separator: str,
        newline: str,
        page_bytes: int,
        file_id: str,
    ) -> None:
        self._frame = frame
        self._header = separator.join('"' + name.replace('"', '""') + '"' for name in header) + newline
        self._separator = separator
        self._newline = newline
        self._file_id = file_id
        self._cache: dict[tuple[int, int], bytes] = {}
        self.page_rows = self._rows_for(page_bytes)

    @property
    def rows(self) -> int:
        """Rows of the whole result."""
        return self._frame.height

    def page(self, start: int, count: int) -> bytes:
        """Rows `start` … `start + count` as CSV with the header row."""
        key = (start, count)
        body = self._cache.get(key)
        if body is None:
            body = self._header.encode() + self._encode(start, count)
            self._cache[key] = body
        return body

    def locator(self, start: int) -> str:
        """The locator of the page that begins at row `start`."""
        text = f"{start}:{self._file_id}:1"
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    def start_of(self, locator: str) -> int:
        """The row that a locator of this result names.

        Raises:
            ApiError: 400 for any other text.
        """
        try:
            text = base64.urlsafe_b64decode(locator + "=" * (-len(locator) % 4)).decode()
            start, file_id, _ = text.split(":")
            if file_id == self._file_id and 0 <= int(start) < max(1, self.rows):
                return int(start)
        except (binascii.Error, UnicodeDecodeError, ValueError):
            pass
        raise ApiError(400, "INVALIDQUERYLOCATOR", f"Invalid locator: {locator}")

    def _encode(self, start: int, count: int) -> bytes:
        buffer = io.BytesIO()
        self._frame.slice(start, count).write_csv(
            buffer,
            include_header=False,
            quote_style="always",
            separator=self._separator,
            line_terminator=self._newline,
        )
        return buffer.getvalue()

    def _rows_for(self, page_bytes: int) -> int:
        """How many rows make a page of about `page_bytes`, from a sample spread over the result."""
        if self._frame.height <= SAMPLE_ROWS:
            sample = self._frame
        else:
            sample = self._frame.gather_every(self._frame.height // SAMPLE_ROWS)
        if not sample.height:
            return 1
        size = len(sample.write_csv(include_header=False, quote_style="always").encode())
        return max(1, page_bytes * sample.height // max(1, size))
