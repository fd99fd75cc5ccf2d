"""The result of a query job as pages: parts of one text that is rendered once, in the background.

Rows are fixed when the job is made. A page is the header row and a region of the text; nothing is rendered, joined or
copied for a request.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import zlib
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Executor

import polars as pl

from holdfast.orgsim.api import csvtext
from holdfast.orgsim.api.bulk2.result_file import ResultFile, Rows
from holdfast.orgsim.api.bulk2.spool import Spool
from holdfast.orgsim.api.region import Region
from holdfast.orgsim.errors import ApiError

SAMPLE_ROWS, SAMPLES = 250, 8
COMPRESSED_PAGES = 64  # kept per result
GZIP_FORMAT = 16 + zlib.MAX_WBITS
PART_BYTES = 10_000_000  # what is rendered in one go, and a page of several that are fetched in parallel


class Pages:
    """Pages of one result. A locator names the row it begins at, so it never changes.

    Attributes:
        page_rows: Rows of a page for a client that does not say how many it wants, and the most that others get.
        part_rows: Rows of a page among those that are to be fetched in parallel.
    """

    def __init__(
        self,
        rows: Rows,
        columns: Sequence[str],
        header: Sequence[str],
        *,
        separator: str,
        newline: str,
        page_bytes: int,
        file_id: str,
    ) -> None:
        self.header = csvtext.lines([header], separator, newline)
        self.page_rows = _rows_for(rows, columns, page_bytes)
        self.part_rows = max(1, self.page_rows * min(PART_BYTES, page_bytes) // page_bytes)
        self._file = ResultFile(rows, columns, separator=separator, newline=newline)
        self._file_id = file_id
        self._compressed: OrderedDict[tuple[int, int], asyncio.Future[Spool]] = OrderedDict()

    @property
    def rows(self) -> int:
        """Rows of the whole result."""
        return self._file.rows

    def render_first(self) -> None:
        """Make the first part. Takes its time: not for the event loop."""
        self._file.render(self.part_rows)

    def render_rest(self, executor: Executor) -> None:
        """Have the other parts made one after the other, in turn with those of other results."""
        if not self._file.complete:
            executor.submit(self._render_next, executor)

    async def page(self, start: int, count: int) -> Region:
        """The text of rows `start` … `start + count`, without the header, as soon as it exists."""
        end = min(start + count, self.rows)
        await asyncio.wrap_future(self._file.rendered(end))
        at = self._file.offset_of(start)
        return Region(self._file.text, at, self._file.offset_of(end) - at)

    async def compressed(self, start: int, count: int) -> Region:
        """The page with its header, gzip; compressed when first asked for."""
        region = await self.page(start, count)
        work = self._compressed.get((start, count))
        if work is None or work.cancelled():
            work = asyncio.ensure_future(asyncio.to_thread(_gzip, self.header, region))
            self._compressed[start, count] = work
            if len(self._compressed) > COMPRESSED_PAGES:
                self._compressed.popitem(last=False)
        spool = await asyncio.shield(work)
        return Region(spool, 0, spool.size)

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

    def _render_next(self, executor: Executor) -> None:
        self._file.render(self.part_rows)
        self.render_rest(executor)


def _gzip(header: bytes, region: Region) -> Spool:
    spool = Spool()
    packer = zlib.compressobj(level=1, wbits=GZIP_FORMAT)
    for piece in (header, *region.pieces()):
        spool.append(packer.compress(piece))
    spool.append(packer.flush())
    return spool


def _rows_for(rows: Rows, columns: Sequence[str], page_bytes: int) -> int:
    """How many rows make a page of about `page_bytes`, from samples spread over the result."""
    if rows.height <= SAMPLE_ROWS * SAMPLES:
        sample = rows.slice(0, rows.height)
    else:
        step = rows.height // SAMPLES
        sample = pl.concat([rows.slice(step * number, SAMPLE_ROWS) for number in range(SAMPLES)])
    if not sample.height:
        return 1
    size = len(csvtext.rows(sample.select(columns)))
    return max(1, page_bytes * sample.height // max(1, size))
