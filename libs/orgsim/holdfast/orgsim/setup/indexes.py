"""Indexes of big objects as the Tooling API shows them: `Index` and `IndexField`, worked out when somebody looks."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from holdfast.orgsim import ids
from holdfast.orgsim.schema.objects import Schema, SObject
from holdfast.orgsim.store.table import Table

INDEX, INDEX_FIELD = "Index", "IndexField"
# Objects of the Tooling API with their fields.
OBJECTS = {
    INDEX: "DeveloperName Label MasterLabel NamespacePrefix SobjectType Type",
    INDEX_FIELD: "FieldId IndexId Ordinal SortDirection",
}
Values = dict[str, str | None]


def show(schema: Schema, name: str, table: Table) -> None:
    """Make the table hold what the schema's big objects have now."""
    indexed = [obj for obj in schema.objects.values() if obj.traits.index]
    rows = [_index(obj) for obj in indexed] if name == INDEX else [row for obj in indexed for row in _fields(obj)]
    table.remove_rows(table.frame()["Id"])
    _put(table, rows)


def _put(table: Table, rows: Sequence[Values]) -> None:
    columns = {name: [row.get(name) for row in rows] for name in table.columns}
    table.put_rows(pl.DataFrame(columns, schema=dict.fromkeys(table.columns, pl.String)).sort("Id"))


def _index(obj: SObject) -> Values:
    name = obj.name.removesuffix("__b").split("__")[-1]
    return {"Id": _index_id(obj), "DeveloperName": f"{name}_Index", "Label": f"{name} Index",
            "MasterLabel": f"{name} Index", "SobjectType": obj.name, "Type": "PRIMARY"}  # fmt: skip


def _fields(obj: SObject) -> list[Values]:
    return [
        {
            "Id": ids.make_id("0c1", _number(obj) * 100 + ordinal),
            "IndexId": _index_id(obj),
            "FieldId": ids.to18(obj.field_id(each.name)),
            "Ordinal": str(ordinal),
            "SortDirection": "DESC" if each.descending else "ASC",
        }
        for ordinal, each in enumerate(obj.traits.index)
    ]


def _index_id(obj: SObject) -> str:
    return ids.make_id("0c0", _number(obj))


def _number(obj: SObject) -> int:
    """A number of its own for each object: its key prefix, which is three digits of base 62."""
    return sum(ids.ALPHABET.index(char) * 62**place for place, char in enumerate(reversed(obj.key_prefix or "0")))
