"""Rules that look at other records: what a lookup points at, and who else holds a unique value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import polars as pl

from holdfast.orgsim.rules.batch import Batch

if TYPE_CHECKING:
    from holdfast.orgsim.org import Org

MASTER_RECORD_TYPE = "012000000000000AAA"  # on every object; no row stands behind it


def references(batch: Batch) -> None:
    """Lookups must point at a living record of a fitting object."""
    for name in sorted(batch.given):
        field = batch.obj.fields[name]
        if field["type"] == "reference":
            _check_lookup(batch, name, field)


def _check_lookup(batch: Batch, name: str, field: Mapping[str, Any]) -> None:
    asked = batch.after[name].drop_nulls().unique()
    asked = asked.filter(asked != MASTER_RECORD_TYPE)
    if not len(asked):
        return
    found = targets(batch.org, asked)
    fitting = found.filter(pl.col("object").is_in(field["referenceTo"])) if field["referenceTo"] else found
    if fitting.height == len(asked) and not (fitting["IsDeleted"] == "true").any():
        return
    sentence = pl.concat_str(pl.lit(f"{field['label']}: id value of incorrect type: "), pl.col(name).fill_null(""))
    wrong = found.join(fitting, on="Id", how="anti")["Id"]
    gone = fitting.filter(pl.col("IsDeleted") == "true")["Id"]
    absent = asked.filter(~asked.is_in(found["Id"].implode()))
    for ids, code, message, fields in (
        (wrong, "FIELD_INTEGRITY_EXCEPTION", sentence, [name]),
        (absent, "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", []),
        (gone, "ENTITY_IS_DELETED", "entity is deleted", []),
    ):
        if len(ids):
            batch.refuse(pl.col(name).is_in(ids.implode()) & batch.gave(name), code, message, fields)


def targets(org: Org, ids: pl.Series) -> pl.DataFrame:
    """Which of these ids are records: `Id`, `object`, `IsDeleted`."""
    parts = [pl.DataFrame(schema=dict.fromkeys(("Id", "object", "IsDeleted"), pl.String))]
    prefixes = ids.str.slice(0, 3)
    for prefix in prefixes.unique().to_list():
        obj = org.schema.by_prefix(prefix)
        if obj is not None and obj.name in org.tables:
            rows = org.table(obj).fetch(ids.filter(prefixes == prefix))
            gone = pl.col("IsDeleted") if obj.has_bin else pl.lit("false").alias("IsDeleted")
            parts.append(rows.select("Id", pl.lit(obj.name).alias("object"), gone))
    return pl.concat(parts)


def unique(batch: Batch) -> None:
    """Unique fields: no second row, living, deleted or of the same batch, may hold the value."""
    for name in sorted(batch.given):
        if batch.obj.fields[name]["unique"]:
            _check_unique(batch, name, folded=not batch.obj.fields[name]["caseSensitive"])


def _check_unique(batch: Batch, name: str, *, folded: bool) -> None:
    fold = pl.col(name).str.to_lowercase() if folded else pl.col(name)
    mine = batch.after.select("Id", key=fold)
    rows = batch.org.table(batch.obj).scan().select("Id", key=fold)
    waiting = [later.lazy().select("Id", key=fold) for later in batch.org.transactions.waiting_rows(batch.obj)]
    wanted = pl.col("key").is_in(mine["key"].drop_nulls().implode())
    others = pl.concat([rows, *waiting]).filter(wanted).collect()
    if others.height:
        holders = mine.join(others.rename({"Id": "holder"}), on="key", how="left", maintain_order="left")
        foreign = holders.filter(pl.col("holder") != pl.col("Id")).unique("Id", keep="first")
        taken = mine.join(foreign.select("Id", "holder"), on="Id", how="left", maintain_order="left")["holder"]
        batch.refuse(taken.is_not_null() & batch.gave(name), "DUPLICATE_VALUE", _sentence(name, taken), [name])
    standing = mine.with_columns(key=pl.when(batch.standing()).then(pl.col("key")))
    first = standing.select(pl.col("Id").first().over("key"), again=~pl.col("key").is_first_distinct(), key="key")
    again = first["again"] & first["key"].is_not_null()
    if again.any():
        batch.refuse(again & batch.gave(name), "DUPLICATE_VALUE", _sentence(name, first["Id"]), [name])


def _sentence(name: str, holders: pl.Series) -> pl.Series:
    return f"duplicate value found: {name} duplicates value on record with id: " + holders.fill_null("")
