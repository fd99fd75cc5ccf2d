"""`/search` and `/parameterizedSearch`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from holdfast.orgsim.api.rest.render import Page
from holdfast.orgsim.api.web import DATA, JSON_TYPE, Call, Reply, Router
from holdfast.orgsim.errors import ApiError
from holdfast.orgsim.soql.search import MAX_ROWS, SCOPES, Search, Target, find, read_sosl

router = Router(DATA)
OBJECT_SINCE = 37  # before, /search answered with a bare list


@router.add("GET", "/search")
async def search(call: Call) -> Reply:
    """Run a SOSL statement."""
    if "q" not in call.query:
        raise ApiError(400, "MALFORMED_SEARCH", "A search string has to be specified")
    return _answer(call, read_sosl(call.query["q"]), wrapped=float(call.version) >= OBJECT_SINCE)


@router.add("GET", "/parameterizedSearch")
async def parameterized_search(call: Call) -> Reply:
    """Search with parameters in the address."""
    pairs = parse_qsl(call.query_string, keep_blank_values=True)
    objects = [name for key, value in pairs if key.lower() == "sobject" for name in value.split(",")]
    by_key = {key.lower(): value for key, value in pairs}
    body: dict[str, Any] = {
        k: by_key[k.lower()] for k in ("q", "in", "fields", "defaultLimit", "overallLimit") if k.lower() in by_key
    }
    body["sobjects"] = [
        {"name": name, **{k: by_key[f"{name}.{k}".lower()] for k in _PER_OBJECT if f"{name}.{k}".lower() in by_key}}
        for name in objects
    ]
    return _answer(call, _parameters(body))


@router.add("POST", "/parameterizedSearch")
async def parameterized_search_by_body(call: Call) -> Reply:
    """Search with parameters in the body."""
    return _answer(call, _parameters(call.json_object()))


_PER_OBJECT = ("fields", "where", "orderBy", "limit")


def _parameters(body: Mapping[str, Any]) -> Search:
    if not isinstance(body.get("q"), str):
        raise ApiError(400, "MISSING_ARGUMENT", "Required parameter missing: q")
    scope = str(body.get("in") or "ALL").upper()
    if scope not in SCOPES:
        raise ApiError(400, "INVALID_SEARCH_SCOPE", f"Invalid search scope: {scope}")
    shared = _names(body.get("fields")) or "Id"
    targets = [_target(item, shared, body.get("defaultLimit")) for item in body.get("sobjects") or []]
    return Search(body["q"], scope, targets, min(_whole(body.get("overallLimit")) or MAX_ROWS, MAX_ROWS))


def _target(item: Any, shared: str, limit: object) -> Target:
    item = item if isinstance(item, dict) else {"name": item}
    clauses = ""
    if item.get("where"):
        clauses += f" WHERE {item['where']}"
    if item.get("orderBy"):
        clauses += f" ORDER BY {_names(item['orderBy'])}"
    limit = _whole(item.get("limit")) or _whole(limit)
    return Target(
        str(item.get("name")), _names(item.get("fields")) or shared, f"{clauses} LIMIT {limit}" if limit else clauses
    )


def _names(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value or "")


def _whole(value: object) -> int | None:
    text = str(value if value is not None else "")
    if text and not text.isdigit():
        raise ApiError(400, "INVALID_SEARCH", f"Invalid limit: {text}")
    return int(text) if text else None


def _answer(call: Call, wanted: Search, *, wrapped: bool = True) -> Reply:
    page = Page(call.org, call.version)
    found = find(call.org, wanted, call.user, call.version)
    rows = b"[" + b",".join(page.rows(result, result.frame) for result in found) + b"]"
    return Reply(200, b'{"searchRecords":' + rows + b"}" if wrapped else rows, JSON_TYPE)
