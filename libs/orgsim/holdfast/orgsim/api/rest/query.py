"""`/query`, `/queryAll` and the cursors behind `nextRecordsUrl`."""

from __future__ import annotations

import asyncio
import re
from concurrent.futures import Future

import orjson
import polars as pl

from holdfast.orgsim.api.rest import explain
from holdfast.orgsim.api.rest.cursors import Cursor, PageText
from holdfast.orgsim.api.rest.render import Page
from holdfast.orgsim.api.web import DATA, JSON_TYPE, Call, Reply, Router, json_reply
from holdfast.orgsim.errors import ApiError
from holdfast.orgsim.soql.evaluate import run
from holdfast.orgsim.soql.parse import parse
from holdfast.orgsim.soql.result import Children, Output, Result

router = Router(DATA)
DEFAULT_BATCH, SMALLEST_BATCH, LARGEST_BATCH = 2_000, 200, 2_000
PAGE_BYTES = 12_000_000  # rows so wide that a page would be larger are answered in smaller batches


@router.add("GET", "/query")
async def query(call: Call) -> Reply:
    """Run a query over living rows."""
    return start(call, include_deleted=False)


@router.add("GET", "/queryAll")
async def query_all(call: Call) -> Reply:
    """Run a query over living and soft-deleted rows."""
    return start(call, include_deleted=True)


@router.add("GET", "/query/{locator}")
async def query_more(call: Call) -> Reply:
    """The next page of an open result."""
    return await more(call)


@router.add("GET", "/queryAll/{locator}")
async def query_all_more(call: Call) -> Reply:
    """The next page; cursors of both kinds answer on both paths."""
    return await more(call)


def start(call: Call, *, include_deleted: bool, prefix: str = "") -> Reply:
    """Answer `?q=` or `?explain=`.

    Raises:
        ApiError: 400.
    """
    if "explain" in call.query:
        return json_reply(explain.plans(call.org, call.query["explain"], call.user, call.version))
    if "q" not in call.query:
        raise ApiError(400, "MALFORMED_QUERY", "A query string has to be specified")
    parsed = parse(call.query["q"])
    result = run(call.org, parsed, call.user, include_deleted=include_deleted, version=call.version)
    if result.counted:
        return _answer(result, None, b"", prefix)
    if result.aggregate and result.height > LARGEST_BATCH:
        message = "Aggregate query does not support queryMore(), use LIMIT to restrict the results to a single batch"
        raise ApiError(400, "EXCEEDED_ID_LIMIT", message)
    batch, now = _batch_size(call, result), call.org.clock.now()
    cursor = Cursor(result, call.user.username, now, batch, call.version, prefix=prefix)
    first = _first_page(call, cursor)
    return _reply(call, cursor, None if first.end >= result.height else call.org.cursors.open(cursor), first)


async def more(call: Call) -> Reply:
    """Answer with the page that a locator names.

    Raises:
        ApiError: 400 INVALID_QUERY_LOCATOR.
    """
    match = re.fullmatch(r"(\w{15,18})-(\d+)", call.params["locator"])
    if match is None:
        raise ApiError(400, "INVALID_QUERY_LOCATOR", "invalid query locator")
    call.org.accounting.locators[call.params["locator"]] += 1
    cursor = call.org.cursors.get(match[1], call.user.username, call.org.clock.now())
    first = int(match[2])
    ahead: Future[PageText] | None = cursor.prepared(first)
    page = _page(call, cursor, first) if ahead is None else await asyncio.wrap_future(ahead)
    return _reply(call, cursor, match[1], page)


def _reply(call: Call, cursor: Cursor, locator: str | None, page: PageText) -> Reply:
    """A page, and the next one begun."""
    result = cursor.result
    if locator is None or page.end >= result.height:
        cursor.finished = True
        return _answer(result, None, page.rows, cursor.prefix)
    if all(isinstance(item, Output) for item in result.items):  # others read tables while they are printed
        cursor.prepare(page.end, lambda start: _page(call, cursor, start))
    url = f"/services/data/v{call.version}/{cursor.prefix}query/{locator}-{page.end}"
    return _answer(result, url, page.rows, cursor.prefix)


def _answer(result: Result, url: str | None, rows: bytes, prefix: str) -> Reply:
    head: dict[str, object] = {"totalSize": result.total, "done": url is None}
    if prefix:
        head |= {"size": result.total, "queryLocator": None, "entityTypeName": result.object}
    if url is not None:
        head["nextRecordsUrl"] = url
    return Reply(200, orjson.dumps(head)[:-1] + b',"records":[' + rows + b"]}", JSON_TYPE)


def _first_page(call: Call, cursor: Cursor) -> PageText:
    page = _page(call, cursor, 0)
    if len(page.rows) > PAGE_BYTES and page.end > SMALLEST_BATCH:
        cursor.batch = max(SMALLEST_BATCH, page.end * PAGE_BYTES // len(page.rows))
        page = _page(call, cursor, 0)
    return page


def _page(call: Call, cursor: Cursor, start: int) -> PageText:
    result = cursor.result

    def more_children(children: Result, shown: int) -> str:
        rest = Cursor(children, cursor.username, cursor.created, cursor.batch, cursor.version, child=True)
        return f"/services/data/v{call.version}/{cursor.prefix}query/{call.org.cursors.open(rest)}-{shown}"

    page = Page(call.org, call.version, cursor.batch, more_children, prefix=cursor.prefix)
    frame = result.slice(start, cursor.batch)
    if result.nested and frame.height:
        frame = frame.slice(0, _parents_that_fit(result, frame["Id"], cursor.batch))
    return PageText(page.rows(result, frame), start + frame.height)


def _parents_that_fit(result: Result, parents: pl.Series, batch: int) -> int:
    """How many of the parents make a page: their child records count towards the batch as well."""
    rows = pl.Series([1] * parents.len(), dtype=pl.Int64)
    for item in result.items:
        if isinstance(item, Children):
            counts = item.of(parents).frame[item.lookup].value_counts().rename({item.lookup: "Id"})
            found = parents.rename("Id").to_frame().join(counts, on="Id", how="left", maintain_order="left")
            rows = rows + found["count"].cast(pl.Int64).fill_null(0).clip(0, batch)
    return max(1, int((rows.cum_sum() <= batch).sum()))


def _batch_size(call: Call, result: Result) -> int:
    if result.object.endswith("__mdt"):
        return max(1, result.height)  # custom metadata has no cursors
    if result.aggregate:
        return LARGEST_BATCH
    match = re.search(r"batchSize=(\d+)", call.headers.get("sforce-query-options", ""), re.IGNORECASE)
    size = min(max(int(match[1]), SMALLEST_BATCH), LARGEST_BATCH) if match else DEFAULT_BATCH
    long_texts = sum(1 for o in result.outputs if o.column.kind == "textarea" and o.column.field["custom"])
    return min(size, SMALLEST_BATCH) if long_texts >= 2 else size
