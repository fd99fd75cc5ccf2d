"""Runs a parsed query over the org's frames."""

from __future__ import annotations

from dataclasses import dataclass, field

import polars as pl

from holdfast.orgsim.auth.access import User
from holdfast.orgsim.errors import ApiError
from holdfast.orgsim.org import Org
from holdfast.orgsim.soql import ast
from holdfast.orgsim.soql.aggregates import Aggregation, is_aggregate
from holdfast.orgsim.soql.columns import Column, Columns
from holdfast.orgsim.soql.conditions import comparable, expression

MAX_OFFSET = 2_000
MAX_FIELDS_ROWS = 200


@dataclass
class Output:
    """One selected value: as written, as answered (API name or alias), and its column in the result."""

    written: str
    path: tuple[str, ...]
    column: Column


@dataclass
class Result:
    """Rows of a query. For `SELECT COUNT()` only `total` counts and `frame` is empty."""

    object: str
    frame: pl.DataFrame
    outputs: list[Output]
    total: int
    aggregate: bool = False
    parents: dict[tuple[str, ...], str] = field(default_factory=dict)
    subqueries: list[ast.Query] = field(default_factory=list)
    typeofs: list[ast.TypeofItem] = field(default_factory=list)


def run(org: Org, query: ast.Query, user: User, *, include_deleted: bool = False) -> Result:
    """Evaluate a query as `user`. Without ORDER BY rows come in id order.

    Raises:
        ApiError: 400 with the platform's code and text.
    """
    obj = org.readable(query.object, user)
    columns = Columns(org, obj, user, query.alias)
    if not include_deleted and not query.all_rows and "IsDeleted" in obj.fields:
        columns.frame = _live(columns.frame)
    _filter(org, query, user, columns, include_deleted)
    if query.group_by or any(isinstance(i, ast.CallItem) and is_aggregate(i) for i in query.items):
        return _aggregate(columns, query)
    result = Result(obj.name, columns.frame, [], 0)
    for item in query.items:
        _select(columns, query, item, result)
    _name_parents(columns, result)
    _sort(columns, query)
    result.frame = _window(columns.frame, query)
    result.total = result.frame.height
    return result


def _live(frame: pl.DataFrame) -> pl.DataFrame:
    deleted = frame["IsDeleted"] == "true"
    return frame.filter(~deleted) if deleted.any() else frame


def _filter(org: Org, query: ast.Query, user: User, columns: Columns, include_deleted: bool) -> None:
    def subquery(inner: ast.Query) -> pl.Series:
        result = run(org, inner, user, include_deleted=include_deleted)
        return result.frame[result.outputs[0].column.name].drop_nulls()

    if query.scope is not None and query.scope.lower() == "mine" and "OwnerId" in columns.obj.fields:
        columns.frame = columns.frame.filter(pl.col("OwnerId") == user.id)
    if query.where is not None:
        condition = expression(query.where, columns, subquery)
        columns.frame = columns.frame.filter(condition)


def _select(columns: Columns, query: ast.Query, item: ast.Item, result: Result) -> None:
    if isinstance(item, ast.FieldItem):
        column = columns.resolve(item.path)
        result.outputs.append(Output(".".join(item.path), tuple(column.name.split(".")), column))
    elif isinstance(item, ast.CallItem):
        if item.path is None or item.function not in ("tolabel", "format", "convertcurrency"):
            raise ApiError(400, "MALFORMED_QUERY", f"unexpected token: '{item.function}'")
        column = columns.resolve(item.path)
        name = item.alias or column.name
        result.outputs.append(Output(name, (name,), column))
    elif isinstance(item, ast.FieldsItem):
        _select_all(columns, query, item, result)
    elif isinstance(item, ast.SubqueryItem):
        result.subqueries.append(item.query)
    else:
        columns.lookup_of(item.relationship)
        result.typeofs.append(item)


def _select_all(columns: Columns, query: ast.Query, item: ast.FieldsItem, result: Result) -> None:
    if item.kind != "STANDARD" and (query.limit is None or query.limit > MAX_FIELDS_ROWS):
        message = "The SOQL FIELDS function must have a LIMIT of at most 200"
        raise ApiError(400, "MALFORMED_QUERY", message)
    for name, definition in columns.obj.fields.items():
        if item.kind != "ALL" and (item.kind == "CUSTOM") != definition["custom"]:
            continue
        if columns.user.reads_field(columns.obj.name, name):
            result.outputs.append(Output(name, (name,), Column(name, definition)))


def _name_parents(columns: Columns, result: Result) -> None:
    """Each parent's id is kept, to tell an absent parent from one with empty fields."""
    for output in result.outputs:
        for depth in range(1, len(output.path)):
            prefix = output.path[:depth]
            if prefix not in result.parents:
                result.parents[prefix] = columns.key_of(".".join(prefix))


def _sort(columns: Columns, query: ast.Query) -> None:
    if not query.order_by:
        return
    keys = [columns.resolve(o.operand.path) for o in query.order_by]
    for column in keys:
        if not column.field["sortable"]:
            raise ApiError(400, "MALFORMED_QUERY", f"field '{column.field['name']}' can not be sorted in a query call")
    orders = list(query.order_by)
    if keys[-1].name == "Id" and not orders[-1].descending:
        keys, orders = keys[:-1], orders[:-1]  # frames are kept in id order and the sort is stable
    if len(keys) == 1 and not orders[0].descending and _is_ascending(columns.frame[keys[0].name]):
        return
    if keys:
        columns.frame = columns.frame.sort(
            [comparable(c) for c in keys],
            descending=[o.descending for o in orders],
            nulls_last=[o.nulls_last for o in orders],
            maintain_order=True,
        )


def _is_ascending(values: pl.Series) -> bool:
    return values.null_count() == 0 and values.dtype == pl.String and values.is_sorted()


def _window(frame: pl.DataFrame, query: ast.Query) -> pl.DataFrame:
    if query.offset > MAX_OFFSET:
        raise ApiError(400, "NUMBER_OUTSIDE_VALID_RANGE", "Maximum SOQL offset allowed is 2000")
    return frame.slice(query.offset, query.limit) if query.offset or query.limit is not None else frame


def _aggregate(columns: Columns, query: ast.Query) -> Result:
    frame, outputs, total = Aggregation(columns, query).run()
    listed = [Output(label, (label,), column) for label, column in outputs]
    if frame is None:
        return Result(columns.obj.name, pl.DataFrame(), [], total)
    frame = _window(frame, query)
    return Result(columns.obj.name, frame, listed, frame.height, aggregate=True)
