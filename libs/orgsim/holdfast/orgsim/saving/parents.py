"""Lookups given by an external id of the parent instead of its record id."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import polars as pl

from holdfast.orgsim.errors import ApiError
from holdfast.orgsim.schema.columns import canonical_column
from holdfast.orgsim.schema.objects import SObject
from holdfast.orgsim.store.living import living

if TYPE_CHECKING:
    from holdfast.orgsim.org import Org


@dataclass(frozen=True)
class Relationship:
    """A lookup field, the objects that it may point at, and the parents' field that is matched."""

    field: str
    parents: tuple[str, ...]
    key: str

    @classmethod
    def of_header(cls, obj: SObject, header: str, failed: Callable[[str], Exception]) -> Relationship:
        """The relationship that a CSV header names: `Owner.Email` or, with several parents, `Account:What.Ext__c`.

        Raises:
            Exception: what `failed` makes of the platform's sentence.
        """
        path, dot, key = header.rpartition(".")
        if not dot:
            raise failed(f"Field name not found : {header}")
        type_name, _, name = path.rpartition(":")
        field = _lookup(obj, name)
        if field is None:
            raise failed(f"Unable to find relationship: {name}")
        parents = tuple(field["referenceTo"])
        if type_name and len(parents) == 1:
            raise failed(f"type is not needed for non polymorphic foreign key references: {name}")
        if type_name:
            parents = tuple(p for p in parents if p.lower() == type_name.lower())
            if not parents:
                raise failed(f"Field name not found : {header}")
        return cls(field["name"], parents, key)

    def ids(self, org: Org, keys: pl.Series) -> pl.Series:
        """The id of the one living parent that carries each key; null where there is none or more than one."""
        result = pl.Series([None], dtype=pl.String).new_from_index(0, len(keys))
        for name in self.parents:
            if result.null_count() == keys.null_count():
                break
            parent = org.schema.find(name)
            field = None if parent is None else parent.find(self.key)
            if parent is not None and field is not None and parent.name in org.tables:
                wanted = keys.set(result.is_not_null(), None)
                found = matching(org, parent, field, wanted)
                single = found.filter(pl.col("ids").list.len() == 1)
                result = result.zip_with(result.is_not_null(), _join(wanted, single))
        return result

    def lost(self, keys: pl.Series) -> pl.Series:
        """The sentence for each key that no parent carries."""
        entity = self.parents[0]
        return ("Foreign key external ID: " + keys + f" not found for field {self.key} in entity {entity}").fill_null(
            ""
        )


def relationship_of(obj: SObject, name: str, value: Any) -> tuple[Relationship, str | None]:
    """A lookup given as `{"Owner": {"Email": "x"}}` or under the name `Owner.Email`, with the key to look for.

    Raises:
        ApiError: there is no such relationship.
    """
    path, _, key = name.partition(".")
    path = path.rpartition(":")[2]
    if isinstance(value, Mapping):
        pairs = [(k, v) for k, v in value.items() if k != "attributes"]
        key, value = pairs[0] if len(pairs) == 1 else ("", None)
    field = _lookup(obj, path) if key else None
    if field is None:
        raise ApiError(400, "INVALID_FIELD", f"No such column '{name}' on sobject of type {obj.name}")
    text = None if value is None or value == "" else str(value)
    return Relationship(field["name"], tuple(field["referenceTo"]), key), text


def matching(org: Org, obj: SObject, field: Mapping[str, Any], keys: pl.Series) -> pl.DataFrame:
    """Which living records carry which keys: `key` as it was given, `ids` in id order. Keys of nobody are absent.

    Keys compare as stored values: in canonical text, and without regard to case unless the field asks for it.
    """
    given = keys.alias("key").to_frame().drop_nulls().unique()
    wanted = comparable(field, given["key"])
    table = org.table(obj)
    if _folded(field):
        column = pl.col(field["name"]).str.to_lowercase()
        names = ["Id", "IsDeleted"] if obj.has_bin else ["Id"]
        rows = table.scan().filter(column.is_in(wanted.drop_nulls().implode())).select(*names, stored=column).collect()
        found = living(rows).select("Id", "stored")
    else:
        rows_found = table.where_in(field["name"], wanted.drop_nulls())
        found = living(rows_found).select("Id", stored=pl.col(field["name"]))
    pairs = given.with_columns(wanted.alias("stored")).join(found, on="stored", how="inner")
    return pairs.sort("Id").group_by("key").agg(ids="Id")


def comparable(field: Mapping[str, Any], keys: pl.Series) -> pl.Series:
    """Keys in the form in which two of them are the same key: canonical, lower case unless case counts."""
    stored, _ = canonical_column(field, keys)
    return stored.str.to_lowercase() if _folded(field) else stored


def _folded(field: Mapping[str, Any]) -> bool:
    return field["soapType"] == "xsd:string" and not field["caseSensitive"]


def _lookup(obj: SObject, name: str) -> dict[str, Any] | None:
    lowered = name.lower()
    return next((f for f in obj.references() if (f["relationshipName"] or "").lower() == lowered), None)


def _join(keys: pl.Series, found: pl.DataFrame) -> pl.Series:
    return (
        keys.alias("key")
        .to_frame()
        .join(found.select("key", id=pl.col("ids").list.first()), on="key", how="left", maintain_order="left")["id"]
    )
