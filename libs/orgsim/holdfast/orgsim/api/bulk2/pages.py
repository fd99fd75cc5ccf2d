"""The result of a query job as CSV pages. Rows are fixed when the job is made; text is made once per page."""

from __future__ import annotations

import asyncio
import base64
import binascii
import io
from collections import OrderedDict
from collections.abc import Sequence

import polars as pl

from holdfast.orgsim.errors import ApiError

SAMPLE_ROWS = 2_000
CACHE_BYTES = 512_000_000


class PageCache:
    """Encoded pages, the least recently used dropped first."""

    def __init__(self, limit_bytes: int = CACHE_BYTES) -> None:
        self._pages: OrderedDict[tuple[str, int, int], bytes] = OrderedDict()
        self._limit = limit_bytes
        self._size = 0

    def get(self, key: tuple[str, int, int]) -> bytes | None:
        """The page, or None."""
        body = self._pages.get(key)
        if body is not None:
            self._pages.move_to_end(key)
        return body

    def put(self, key: tuple[str, int, int], body: bytes) -> None:
        """Keep a page."""
        self._size += len(body) - len(self._pages.pop(key, b""))
        self._pages[key] = body
        while self._size > self._limit and len(self._pages) > 1:
            _, dropped = self._pages.popitem(last=False)
            self._size -= len(dropped)


class Pages:
    """Pages of one result. A locator names the row it begins at, so it never changes."""

    def __init__(
        self,
        frame: pl.DataFrame,
        header: Sequence[str],
        cache: PageCache,
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
        self._cache = cache
        self._tasks: dict[tuple[int, int], asyncio.Task[bytes]] = {}
        self.page_rows = self._rows_for(page_bytes)

    @property
    def rows(self) -> int:
        """Rows of the whole result."""
        return self._frame.height

    async def page(self, start: int, count: int) -> bytes:
        """Rows `start` … `start + count` as CSV with the header row. Whoever asks first has it encoded."""
        key = (self._file_id, start, count)
        body = self._cache.get(key)
        if body is None:
            body = await asyncio.shield(self._encoding(start, count))
        return body

    def read_ahead(self, start: int, count: int) -> None:
        """Begin to encode a page that will soon be asked for."""
        if start < self.rows and self._cache.get((self._file_id, start, count)) is None:
            self._encoding(start, count)

    def _encoding(self, start: int, count: int) -> asyncio.Task[bytes]:
        task = self._tasks.get((start, count))
        if task is None:
            task = asyncio.create_task(asyncio.to_thread(self._encode, start, count))
            self._tasks[(start, count)] = task
            task.add_done_callback(lambda done: self._encoded(start, count, done))
        return task

    def _encoded(self, start: int, count: int, task: asyncio.Task[bytes]) -> None:
        del self._tasks[(start, count)]
        if not task.cancelled() and task.exception() is None:
            self._cache.put((self._file_id, start, count), task.result())

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
        buffer.write(self._header.encode())
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
