"""Columns of a query: finds fields by path, checks what the user may read, notes which columns and joins are needed.

Nothing is read here. A field of a parent is a column called like its path (`Owner.Name`); a value worked out from a
field is a column called like its call (`calendar_year(CreatedDate)`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import polars as pl

from holdfast.orgsim.auth.access import User
from holdfast.orgsim.errors import ApiError, no_such_column
from holdfast.orgsim.org import Org
from holdfast.orgsim.schema.fields import COMPOUND_TYPES, make_field
from holdfast.orgsim.schema.objects import SObject
from holdfast.orgsim.soql import ast, functions
from holdfast.orgsim.soql.messages import invalid_field, located, unknown_relationship

MAX_LEVELS = 5


@dataclass(frozen=True)
class Column:
    """A column of the working frame: its name there and the describe of the field behind it."""

    name: str
    field: dict[str, Any]

    @property
    def kind(self) -> str:
        """The field's type."""
        return str(self.field["type"])


@dataclass
class Join:
    """A parent named in the query: the column with its id, what it may be, and the fields wanted of it."""

    prefix: str
    key: str
    objects: list[SObject]
    wanted: dict[str, None] = field(default_factory=dict)

    @property
    def depth(self) -> int:
        """How many relationships lead to it."""
        return self.prefix.count(".") + 1


class Columns:
    """What one query needs of one object and its parents; it grows as paths are resolved."""

    def __init__(self, org: Org, obj: SObject, user: User, query: ast.Query) -> None:
        self.org = org
        self.obj = obj
        self.user = user
        self.query = query
        self.base: dict[str, None] = {"Id": None} if "Id" in obj.fields else {}
        self.joins: dict[str, Join] = {}
        self.computed: dict[str, pl.Expr] = {}
        self._own_names = {obj.name.lower(), (query.alias or query.object.rpartition(".")[2]).lower()}
        self._aliases = {name.lower(): path for name, path in query.aliases}

    def resolve(self, path: tuple[str, ...]) -> Column:
        """The column of a dotted path, e.g. ("Owner", "Name").

        Raises:
            ApiError: 400 INVALID_FIELD, pointing at the path.
        """
        try:
            return self._resolve(tuple(path))
        except ApiError as error:
            raise located(error, self.query.text, getattr(path, "at", None)) from error

    def value(self, operand: ast.Operand) -> Column:
        """The column of a field or of a function of one; an aggregate function has none.

        Raises:
            ApiError: 400.
        """
        if isinstance(operand, ast.Path):
            return self.resolve(operand)
        try:
            return self._computed(operand)
        except ApiError as error:
            raise located(error, self.query.text, operand.at) from error

    def lookup_of(self, relationship: str) -> Column:
        """The lookup behind a relationship of the queried object."""
        name, definition = self._lookup([self.obj], "", relationship)
        return Column(name, definition)

    def _resolve(self, path: tuple[str, ...]) -> Column:
        if len(path) > 1 and path[0].lower() in self._aliases:
            path = (*self._aliases[path[0].lower()], *path[1:])
        if len(path) > 1 and path[0].lower() in self._own_names and not self._is_relationship(path[0]):
            path = path[1:]
        if len(path) - 1 > MAX_LEVELS:
            raise ApiError(400, "MALFORMED_QUERY", f"SOQL relationship traversal is limited to {MAX_LEVELS} levels")
        objects, prefix = [self.obj], ""
        for step in path[:-1]:
            objects, prefix = self._follow(objects, prefix, step)
        return self._column(objects, prefix, path[-1])

    def _is_relationship(self, name: str) -> bool:
        return any((f["relationshipName"] or "").lower() == name.lower() for f in self.obj.references())

    def _column(self, objects: list[SObject], prefix: str, name: str) -> Column:
        if prefix and len(objects) > 1 and name.lower() == "type":
            return self._type_column(objects, prefix)
        definition = self._field(objects, name)
        full = f"{prefix}.{definition['name']}" if prefix else str(definition["name"])
        if definition["type"] in COMPOUND_TYPES:
            holder = next(o for o in objects if definition["name"] in o.fields)
            for part in compound_parts(holder, definition["name"]).values():
                self._need(prefix, part["name"])
        else:
            self._need(prefix, definition["name"])
        return Column(full, definition)

    def _need(self, prefix: str, name: str) -> None:
        if prefix:
            self.joins[prefix].wanted[name] = None
        else:
            self.base[name] = None

    def _field(self, objects: list[SObject], name: str) -> dict[str, Any]:
        for obj in objects:
            definition = obj.find(name)
            if definition is not None and self.user.reads_field(obj.name, definition["name"]):
                return definition
        raise no_such_column(name, objects[0].name if len(objects) == 1 else "Name")

    def _follow(self, objects: list[SObject], prefix: str, step: str) -> tuple[list[SObject], str]:
        key, definition = self._lookup(objects, prefix, step)
        found = [self.org.schema.find(name) for name in definition["referenceTo"]]
        parents = [p for p in found if p is not None and self.user.reads(p.name)]
        if not parents:
            raise invalid_field(unknown_relationship(step, "field path"))
        relationship = definition["relationshipName"]
        full = f"{prefix}.{relationship}" if prefix else str(relationship)
        self.joins.setdefault(full, Join(full, key, parents))
        return parents, full

    def _lookup(self, objects: list[SObject], prefix: str, step: str) -> tuple[str, dict[str, Any]]:
        for obj in objects:
            for definition in obj.references():
                if (definition["relationshipName"] or "").lower() == step.lower():
                    return self._column(objects, prefix, definition["name"]).name, definition
        raise invalid_field(unknown_relationship(step, "field path"))

    def _type_column(self, objects: list[SObject], prefix: str) -> Column:
        names = {o.key_prefix: o.name for o in objects if o.key_prefix}
        kind = pl.col(self.joins[prefix].key).str.slice(0, 3)
        full = f"{prefix}.Type"
        self.computed[full] = kind.replace_strict(names, default=None, return_dtype=pl.String)
        return Column(full, dict(objects[0].fields["Id"], name="Type", type="string", caseSensitive=False))

    def _computed(self, call: ast.Call) -> Column:
        name = str(call)
        if call.function in functions.SHOWN_AS_IS and call.path is not None:
            column = self._resolve(call.path)
            shaped = call.function == "format" and column.kind not in COMPOUND_TYPES
            return Column(column.name, dict(column.field, type="string")) if shaped else column
        if call.function == "distance" and call.path is not None:
            place = self._resolve(call.path)
            if place.kind not in COMPOUND_TYPES:
                raise invalid_field(f"field '{place.field['name']}' is no location")
            parts = compound_parts(self.obj, place.field["name"])
            self.computed[name] = functions.distance(
                call, pl.col(parts["latitude"]["name"]), pl.col(parts["longitude"]["name"])
            )
            return Column(name, make_field(name, "double"))
        if functions.is_date_function(call) and call.path is not None and len(call.args) == 1:
            column = self._resolve(call.path)
            self.computed[name], kind = functions.date_part(call.function, pl.col(column.name), column.kind)
            return Column(name, make_field(name, kind))
        raise ApiError(400, "INVALID_FIELD", f"Unknown function: {call.function}")


def compound_parts(obj: SObject, name: str) -> dict[str, dict[str, Any]]:
    """The fields that make up a compound field, by their key in its JSON object."""
    prefix = name.removesuffix("Address").removesuffix("__c")
    parts: dict[str, dict[str, Any]] = {}
    for definition in obj.fields.values():
        if definition["compoundFieldName"] == name:
            key = definition["name"].removeprefix(prefix).removesuffix("__s").strip("_")
            parts[key[0].lower() + key[1:]] = definition
    return dict(sorted(parts.items()))
