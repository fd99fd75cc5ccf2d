"""Child records inside a parent's row, and TYPEOF."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import polars as pl

from holdfast.orgsim.api.rest import render
from holdfast.orgsim.api.web import Call
from holdfast.orgsim.errors import ApiError
from holdfast.orgsim.soql import ast
from holdfast.orgsim.soql.evaluate import Result, run


def attach(call: Call, result: Result, rows: list[dict[str, Any]], *, include_deleted: bool) -> None:
    """Put child records and TYPEOF values into a page of rows."""
    ids = [row["attributes"]["url"].rsplit("/", 1)[1] for row in rows if "url" in row["attributes"]]
    for query in result.subqueries:
        _children(call, result, query, rows, ids, include_deleted=include_deleted)
    for item in result.typeofs:
        _typeof(call, result, item, rows, ids)


def _children(
    call: Call,
    result: Result,
    query: ast.Query,
    rows: list[dict[str, Any]],
    ids: list[str],
    *,
    include_deleted: bool,
) -> None:
    parent = call.org.schema.objects[result.object]
    known = (r for r in parent.child_relationships if (r["relationshipName"] or "").lower() == query.object.lower())
    entry = next(known, None)
    if entry is None:
        message = (
            f"Didn't understand relationship '{query.object}' in FROM part of query call. If you are attempting to "
            "use a custom relationship, be sure to append the '__r' after the custom relationship name. Please "
            "reference your WSDL or the describe call for the appropriate names."
        )
        raise ApiError(400, "INVALID_TYPE", message)
    lookup = entry["field"]
    values = tuple(ast.Literal("string", i) for i in ids)
    mine = ast.Membership(ast.Operand((lookup,)), "in", values)
    where = mine if query.where is None else ast.Junction("and", (mine, query.where))
    inner = replace(query, object=entry["childSObject"], where=where, limit=None)
    found = run(call.org, inner, call.user, include_deleted=include_deleted)
    children = render.records(call.org, found, call.version, 0, found.frame.height)
    by_parent: dict[str | None, list[dict[str, Any]]] = {}
    for owner, child in zip(found.frame[lookup].to_list(), children, strict=True):
        by_parent.setdefault(owner, []).append(child)
    for row, record_id in zip(rows, ids, strict=True):
        some = by_parent.get(record_id, [])[: query.limit]
        name = entry["relationshipName"]
        row[name] = {"totalSize": len(some), "done": True, "records": some} if some else None


def _typeof(call: Call, result: Result, item: ast.TypeofItem, rows: list[dict[str, Any]], ids: list[str]) -> None:
    obj = call.org.schema.objects[result.object]
    lookup = next(f for f in obj.references() if (f["relationshipName"] or "").lower() == item.relationship.lower())
    chosen = dict(item.cases)
    table = result.frame.filter(pl.col("Id").is_in(ids)).select("Id", lookup["name"])
    target = dict(table.iter_rows())
    for row, record_id in zip(rows, ids, strict=True):
        parent_id = target[record_id]
        parent = call.org.schema.by_prefix(parent_id[:3]) if parent_id else None
        paths = () if parent is None else chosen.get(parent.name, item.otherwise)
        row[lookup["relationshipName"]] = _one(call, parent.name, parent_id, paths) if parent and paths else None


def _one(call: Call, name: str, record_id: str, paths: tuple[ast.Path, ...]) -> dict[str, Any] | None:
    where = ast.Comparison(ast.Operand(("Id",)), "=", ast.Literal("string", record_id))
    query = ast.Query(tuple(ast.FieldItem(p) for p in paths), name, where=where)
    found = render.records(call.org, run(call.org, query, call.user, include_deleted=True), call.version, 0, 1)
    return found[0] if found else None
