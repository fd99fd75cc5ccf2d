"""Platform rules on a record that is about to be saved: the one seam where more rules are added.

A rule takes a `Change` and either alters `change.after` or raises ApiError. No rule knows a protocol.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from holdfast.orgsim.auth.access import User
from holdfast.orgsim.errors import ApiError
from holdfast.orgsim.schema.objects import SObject
from holdfast.orgsim.store.table import Row

if TYPE_CHECKING:
    from holdfast.orgsim.org import Org

MASTER_RECORD_TYPE = "012000000000000AAA"  # on every object; no row stands behind it
PERSON_NAMES = frozenset({"Contact", "Lead", "User"})


@dataclass
class Change:
    """A record before and after a save. `given` names the fields that the caller set."""

    org: Org
    obj: SObject
    user: User
    before: Row | None
    after: Row
    given: frozenset[str]


Rule = Callable[[Change], None]


def writeable(change: Change) -> None:
    """Only fields that the describe calls createable or updateable can be set."""
    key = "createable" if change.before is None else "updateable"
    refused = [name for name in sorted(change.given) if not change.obj.fields[name][key]]
    if refused:
        message = (
            f"Unable to create/update fields: {', '.join(refused)}. Please check the security settings of this field "
            "and verify that it is read/write for your profile or permission set."
        )
        raise ApiError(400, "INVALID_FIELD_FOR_INSERT_UPDATE", message, refused)


def required(change: Change) -> None:
    """Fields that cannot be empty and have no default."""
    names = change.obj.fields if change.before is None else change.given
    missing = [
        name
        for name, f in ((n, change.obj.fields[n]) for n in names)
        if not f["nillable"]
        and (f["createable"] or name in change.given)
        and not f["defaultedOnCreate"]
        and f["type"] != "boolean"
        and change.after.get(name) is None
    ]
    if missing:
        message = f"Required fields are missing: [{', '.join(missing)}]"
        raise ApiError(400, "REQUIRED_FIELD_MISSING", message, missing)


def length(change: Change) -> None:
    """Text longer than its field."""
    for name in change.given:
        value, limit = change.after.get(name), change.obj.fields[name]["length"]
        if value is not None and limit and len(value) > limit and change.obj.fields[name]["soapType"] == "xsd:string":
            message = f"{change.obj.fields[name]['label']}: data value too large: {value[:255]} (max length={limit})"
            raise ApiError(400, "STRING_TOO_LONG", message, [name])


def picklist(change: Change) -> None:
    """Values that a restricted picklist does not list."""
    for name in change.given:
        field, value = change.obj.fields[name], change.after.get(name)
        if field["restrictedPicklist"] and value is not None:
            allowed = {entry["value"] for entry in field["picklistValues"] if entry["active"]}
            if not set(value.split(";") if field["type"] == "multipicklist" else [value]) <= allowed:
                message = f"{field['label']}: bad value for restricted picklist field: {value}"
                raise ApiError(400, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", message, [name])


def references(change: Change) -> None:
    """Lookups must point at a living record of a fitting object."""
    for name in change.given:
        field, value = change.obj.fields[name], change.after.get(name)
        if field["type"] != "reference" or value is None or value == MASTER_RECORD_TYPE:
            continue
        found = change.org.find(value)
        if found is not None and found[0].name not in field["referenceTo"] and field["referenceTo"]:
            message = f"{field['label']}: id value of incorrect type: {value}"
            raise ApiError(400, "FIELD_INTEGRITY_EXCEPTION", message, [name])
        if found is None:
            raise ApiError(400, "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", [])
        if found[1].get("IsDeleted") == "true":
            raise ApiError(400, "ENTITY_IS_DELETED", "entity is deleted", [])


def unique(change: Change) -> None:
    """Unique fields among living and deleted rows alike."""
    for name in change.given:
        field, value = change.obj.fields[name], change.after.get(name)
        if not field["unique"] or value is None:
            continue
        column = pl.col(name) if field["caseSensitive"] else pl.col(name).str.to_lowercase()
        wanted = value if field["caseSensitive"] else value.lower()
        rows = change.org.table(change.obj).frame().filter((column == wanted) & (pl.col("Id") != change.after["Id"]))
        if rows.height:
            message = f"duplicate value found: {name} duplicates value on record with id: {rows['Id'][0]}"
            raise ApiError(400, "DUPLICATE_VALUE", message, [name])


def derive(change: Change) -> None:
    """Values that the platform works out: names of people, the state of an opportunity."""
    row = change.after
    if change.obj.name in PERSON_NAMES and "Name" in change.obj.fields:
        row["Name"] = " ".join(part for part in (row.get("FirstName"), row.get("LastName")) if part) or None
    if change.obj.name == "Opportunity":
        stage = row.get("StageName") or ""
        row["IsClosed"] = "true" if stage.startswith("Closed") else "false"
        row["IsWon"] = "true" if stage in WON_STAGES else "false"


WON_STAGES = ("Closed Won",)
BEFORE_SAVE: Sequence[Rule] = (writeable, derive, required, length, picklist, references, unique)


def derived_columns(obj: SObject, present: Sequence[str]) -> list[pl.Expr]:
    """`derive` for whole columns, for mass loads."""
    if obj.name in PERSON_NAMES and "LastName" in present:
        parts = [pl.col(n) for n in ("FirstName", "LastName") if n in present]
        return [pl.concat_str(parts, separator=" ", ignore_nulls=True).alias("Name")]
    if obj.name == "Opportunity" and "StageName" in present:
        stage = pl.col("StageName").fill_null("")
        closed, won = stage.str.starts_with("Closed"), stage.is_in(list(WON_STAGES))
        flags = {"IsClosed": closed, "IsWon": won}
        return [pl.when(e).then(pl.lit("true")).otherwise(pl.lit("false")).alias(n) for n, e in flags.items()]
    return []
