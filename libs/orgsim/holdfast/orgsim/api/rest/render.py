"""Query rows as REST prints them: nested parents, attributes, compound values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from holdfast.orgsim.org import Org
from holdfast.orgsim.schema.objects import SObject
from holdfast.orgsim.schema.values import is_plain, json_value
from holdfast.orgsim.soql.evaluate import Output, Result

Record = dict[str, Any]


def records(org: Org, result: Result, version: str, start: int, count: int) -> list[Record]:
    """Rows `start` … `start + count` of a result as JSON objects."""
    frame = result.frame.slice(start, count)
    if result.aggregate:
        return _aggregates(result.outputs, frame)
    base = f"/services/data/v{version}/sobjects/{result.object}/"
    ids = frame["Id"].to_list()
    rows: list[Record] = [{"attributes": {"type": result.object, "url": base + i}} for i in ids]
    obj = org.schema.objects[result.object]
    parents = _parent_rows(org, result, frame, version)
    for output in result.outputs:
        values = _values(obj, output, frame, base)
        if len(output.path) == 1:
            for row, value in zip(rows, values, strict=True):
                row[output.path[0]] = value
        else:
            for parent, value in zip(parents[output.path[:-1]], values, strict=True):
                if parent is not None:
                    parent[output.path[-1]] = value
    _attach(rows, parents)
    return rows


def _aggregates(outputs: Sequence[Output], frame: pl.DataFrame) -> list[Record]:
    rows: list[Record] = [{"attributes": {"type": "AggregateResult"}} for _ in range(frame.height)]
    for output in outputs:
        kind = output.column.kind
        for row, value in zip(rows, frame[output.column.name].to_list(), strict=True):
            row[output.path[0]] = None if value is None else json_value(kind, value)
    return rows


def _values(obj: SObject, output: Output, frame: pl.DataFrame, base: str) -> list[Any]:
    column = output.column
    if column.kind in ("address", "location"):
        return _compound(obj, column.field["name"], frame)
    if column.kind == "base64":
        return [f"{base}{i}/{column.field['name']}" for i in frame["Id"].to_list()]
    values = frame[column.name].to_list()
    if is_plain(column.kind):
        return values
    return [json_value(column.kind, v) for v in values]


def _compound(obj: SObject, name: str, frame: pl.DataFrame) -> list[Any]:
    prefix = name.removesuffix("Address").removesuffix("__c")
    parts = [f for f in obj.fields.values() if f["compoundFieldName"] == name]
    columns = []
    for part in parts:
        key = part["name"].removeprefix(prefix)
        columns.append((key[0].lower() + key[1:], [json_value(part["type"], v) for v in frame[part["name"]].to_list()]))
    rows = [{key: values[i] for key, values in sorted(columns)} for i in range(frame.height)]
    return [row if any(v is not None for v in row.values()) else None for row in rows]


def _parent_rows(
    org: Org, result: Result, frame: pl.DataFrame, version: str
) -> dict[tuple[str, ...], list[Record | None]]:
    parents: dict[tuple[str, ...], list[Record | None]] = {}
    names: dict[str, str | None] = {}
    for prefix, key in sorted(result.parents.items(), key=lambda item: len(item[0])):
        made: list[Record | None] = []
        for parent_id in frame[key].to_list():
            name = _object_name(org, parent_id, names)
            url = f"/services/data/v{version}/sobjects/{name}/{parent_id}"
            made.append({"attributes": {"type": name, "url": url}} if parent_id is not None else None)
        parents[prefix] = made
    return parents


def _object_name(org: Org, record_id: str | None, names: dict[str, str | None]) -> str | None:
    if record_id is None:
        return None
    prefix = record_id[:3]
    if prefix not in names:
        obj = org.schema.by_prefix(prefix)
        names[prefix] = None if obj is None else obj.name
    return names[prefix]


def _attach(rows: list[Record], parents: dict[tuple[str, ...], list[Record | None]]) -> None:
    for prefix, made in parents.items():
        outer: Sequence[Record | None] = parents[prefix[:-1]] if len(prefix) > 1 else rows
        for holder, parent in zip(outer, made, strict=True):
            if holder is not None:
                holder[prefix[-1]] = parent
