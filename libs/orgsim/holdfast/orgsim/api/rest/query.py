"""`/query`, `/queryAll` and the cursors behind `nextRecordsUrl`."""

from __future__ import annotations

import re
from typing import Any

from holdfast.orgsim.api.rest import render, subqueries
from holdfast.orgsim.api.rest.cursors import Cursor
from holdfast.orgsim.api.web import DATA, Call, Reply, Router, json_reply
from holdfast.orgsim.errors import ApiError
from holdfast.orgsim.soql import ast
from holdfast.orgsim.soql.evaluate import Result, run
from holdfast.orgsim.soql.parse import parse

router = Router(DATA)
DEFAULT_BATCH, SMALLEST_BATCH, LARGEST_BATCH = 2_000, 200, 2_000


@router.add("GET", "/query")
async def query(call: Call) -> Reply:
    """Run a query over living rows."""
    return _start(call, include_deleted=False)


@router.add("GET", "/queryAll")
async def query_all(call: Call) -> Reply:
    """Run a query over living and soft-deleted rows."""
    return _start(call, include_deleted=True)


@router.add("GET", "/tooling/query")
async def tooling_query(call: Call) -> Reply:
    """Tooling queries answer over the same objects."""
    return _start(call, include_deleted=False)


@router.add("GET", "/query/{locator}")
async def query_more(call: Call) -> Reply:
    """The next page of an open result."""
    return _more(call)


@router.add("GET", "/queryAll/{locator}")
async def query_all_more(call: Call) -> Reply:
    """The next page; cursors of both kinds answer on both paths."""
    return _more(call)


def _start(call: Call, *, include_deleted: bool) -> Reply:
    if "explain" in call.query:
        return json_reply(_explain(call))
    if "q" not in call.query:
        raise ApiError(400, "MALFORMED_QUERY", "A query string has to be specified")
    parsed = parse(call.query["q"])
    result = run(call.org, parsed, call.user, include_deleted=include_deleted)
    batch = _batch_size(call, result)
    now = call.org.clock.now()
    cursor = Cursor(result, call.user.username, now, batch, include_deleted)
    locator = None
    if result.total > batch and result.frame.height > batch:
        locator = call.org.cursors.open(cursor)
    return _page(call, cursor, locator, 0)


def _more(call: Call) -> Reply:
    match = re.fullmatch(r"(\w{15,18})-(\d+)", call.params["locator"])
    if match is None:
        raise ApiError(400, "INVALID_QUERY_LOCATOR", "invalid query locator")
    call.org.accounting.locators[call.params["locator"]] += 1
    cursor = call.org.cursors.get(match.group(1), call.user.username, call.org.clock.now())
    return _page(call, cursor, match.group(1), int(match.group(2)))


def _page(call: Call, cursor: Cursor, locator: str | None, start: int) -> Reply:
    result = cursor.result
    rows = render.records(call.org, result, call.version, start, cursor.batch) if result.frame.height else []
    subqueries.attach(call, cursor.result, rows, include_deleted=cursor.include_deleted)
    end = start + cursor.batch
    done = locator is None or end >= result.frame.height
    answer: dict[str, Any] = {"totalSize": result.total, "done": done}
    if not done:
        answer["nextRecordsUrl"] = f"/services/data/v{call.version}/query/{locator}-{end}"
    answer["records"] = rows
    return json_reply(answer)


def _batch_size(call: Call, result: Result) -> int:
    match = re.search(r"batchSize=(\d+)", call.headers.get("sforce-query-options", ""), re.IGNORECASE)
    size = min(max(int(match.group(1)), SMALLEST_BATCH), LARGEST_BATCH) if match else DEFAULT_BATCH
    long_texts = sum(1 for o in result.outputs if o.column.kind == "textarea" and o.column.field["custom"])
    return min(size, SMALLEST_BATCH) if long_texts >= 2 else size


def _explain(call: Call) -> dict[str, Any]:
    parsed: ast.Query = parse(call.query["explain"])
    obj = call.org.readable(parsed.object, call.user)
    rows = len(call.org.table(obj))
    plan = {"cardinality": rows, "fields": [], "leadingOperationType": "TableScan", "notes": [],
            "relativeCost": 1.0, "sobjectCardinality": rows, "sobjectType": obj.name}  # fmt: skip
    return {"plans": [plan], "sourceQuery": call.query["explain"]}
