"""Columns of a query: finds fields by path, checks what the user may read, joins parents when named."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl

from holdfast.orgsim.auth.access import User
from holdfast.orgsim.errors import ApiError, no_such_column
from holdfast.orgsim.org import Org
from holdfast.orgsim.schema.fields import COMPOUND_TYPES
from holdfast.orgsim.schema.objects import SObject


@dataclass(frozen=True)
class Column:
    """A column of the working frame: its name there and the describe of the field behind it."""

    name: str
    field: dict[str, Any]

    @property
    def kind(self) -> str:
        """The field's type."""
        return str(self.field["type"])


class Columns:
    """The working frame of one query over one object; it grows by joins as paths are resolved."""

    def __init__(self, org: Org, obj: SObject, user: User, alias: str | None = None) -> None:
        self.org = org
        self.obj = obj
        self.user = user
        self.frame: pl.DataFrame = org.table(obj).frame()
        self._alias = alias

    def resolve(self, path: tuple[str, ...]) -> Column:
        """The column of a dotted path, e.g. ("Owner", "Name").

        Raises:
            ApiError: 400 INVALID_FIELD.
        """
        if len(path) > 1 and path[0].lower() in ((self._alias or "").lower(), self.obj.name.lower()):
            return self.resolve(path[1:])
        objects, prefix = [self.obj], ""
        for step in path[:-1]:
            objects, prefix = self._follow(objects, prefix, step)
        return self._column(objects, prefix, path[-1])

    def lookup_of(self, relationship: str) -> Column:
        """The lookup behind a relationship of the queried object."""
        return Column(*self._lookup([self.obj], "", relationship))

    def _column(self, objects: list[SObject], prefix: str, name: str) -> Column:
        if prefix and len(objects) > 1 and name.lower() == "type":
            return self._type_column(objects, prefix)
        field = self._field(objects, name)
        if not prefix:
            return Column(field["name"], field)
        full = f"{prefix}.{field['name']}"
        if full not in self.frame.columns and field["type"] not in COMPOUND_TYPES:
            self._join(objects, prefix, field["name"])
        return Column(full, field)

    def _field(self, objects: list[SObject], name: str) -> dict[str, Any]:
        for obj in objects:
            field = obj.find(name)
            if field is not None and self.user.reads_field(obj.name, field["name"]):
                return field
        raise no_such_column(name, objects[0].name if len(objects) == 1 else "Name")

    def _follow(self, objects: list[SObject], prefix: str, step: str) -> tuple[list[SObject], str]:
        _, field = self._lookup(objects, prefix, step)
        found = [self.org.schema.find(name) for name in field["referenceTo"]]
        parents = [p for p in found if p is not None and self.user.reads(p.name)]
        if not parents:
            raise no_such_column(step, objects[0].name)
        relationship = field["relationshipName"]
        return parents, f"{prefix}.{relationship}" if prefix else relationship

    def _lookup(self, objects: list[SObject], prefix: str, step: str) -> tuple[str, dict[str, Any]]:
        for obj in objects:
            for field in obj.references():
                if (field["relationshipName"] or "").lower() == step.lower():
                    return self._column(objects, prefix, field["name"]).name, field
        raise ApiError(
            400,
            "INVALID_FIELD",
            f"Didn't understand relationship '{step}' in field path. If you are attempting to use a custom "
            "relationship, be sure to append the '__r' after the custom relationship name. Please reference "
            "your WSDL or the describe call for the appropriate names.",
        )

    def key_of(self, prefix: str) -> str:
        """The frame's column that holds the id of the parent named by `prefix`."""
        outer, _, relationship = prefix.rpartition(".")
        objects, at = [self.obj], ""
        for step in outer.split(".") if outer else []:
            objects, at = self._follow(objects, at, step)
        return self._lookup(objects, at, relationship)[0]

    def _join(self, objects: list[SObject], prefix: str, name: str) -> None:
        full, key = f"{prefix}.{name}", self.key_of(prefix)
        if name == "Id":
            self.frame = self.frame.with_columns(pl.col(key).alias(full))
            return
        holders = [o for o in objects if name in o.fields and o.name in self.org.tables]
        if not holders:
            self.frame = self.frame.with_columns(pl.lit(None, dtype=pl.String).alias(full))
            return
        parents = pl.concat([self.org.table(o).frame().select("Id", name) for o in holders])
        parents = parents.rename({"Id": "__parent", name: full})
        self.frame = self.frame.join(parents, left_on=key, right_on="__parent", how="left", maintain_order="left")

    def _type_column(self, objects: list[SObject], prefix: str) -> Column:
        full = f"{prefix}.Type"
        names = {o.key_prefix: o.name for o in objects if o.key_prefix}
        field = dict(objects[0].fields["Id"], name="Type", type="string")
        if full not in self.frame.columns:
            key = pl.col(self.key_of(prefix)).str.slice(0, 3)
            self.frame = self.frame.with_columns(
                key.replace_strict(names, default=None, return_dtype=pl.String).alias(full)
            )
        return Column(full, field)
