"""What the platform fills in: ids, owners, stamps, defaults, auto-numbers."""

from __future__ import annotations

import polars as pl

from holdfast.orgsim.auth.access import User
from holdfast.orgsim.clock import stamp
from holdfast.orgsim.org import Org
from holdfast.orgsim.saving.given import Given
from holdfast.orgsim.schema.objects import SObject
from holdfast.orgsim.store.loading import auto_number


def new_rows(org: Org, user: User, obj: SObject, given: Given) -> pl.DataFrame:
    """Complete rows, in the order of the table's columns, before any rule has looked at them."""
    filled = _filled(org, user, obj, given)
    nothing = pl.lit(None, dtype=pl.String)
    columns = [filled[name] if name in filled else nothing.alias(name) for name in org.table(obj).columns]
    ids = pl.Series("Id", org.new_ids(obj, given.height), dtype=pl.String)
    return pl.DataFrame({"Id": ids}).select(columns)


def _filled(org: Org, user: User, obj: SObject, given: Given) -> dict[str, pl.Series | pl.Expr]:
    now = stamp(org.clock.now())
    filled: dict[str, pl.Series | pl.Expr] = dict(given.columns)
    defaults = {n: f["defaultValue"] is True for n, f in obj.fields.items() if f["type"] == "boolean"}
    for name, ticked in defaults.items():
        _default(filled, name, "true" if ticked else "false")
    if "OwnerId" in obj.fields:
        _default(filled, "OwnerId", user.id)
    system = {"CreatedDate": now, "CreatedById": user.id, "LastModifiedDate": now, "LastModifiedById": user.id}
    for name, value in system.items():
        if name in obj.fields:
            _default(filled, name, value)
    filled["SystemModstamp"] = pl.lit(now).alias("SystemModstamp")
    filled["Id"] = pl.col("Id")
    if "Name" in obj.fields and obj.fields["Name"]["autoNumber"]:
        start = org.auto_numbers.get(obj.name, 0)
        org.auto_numbers[obj.name] = start + given.height
        names = [auto_number(obj.name, number) for number in range(start + 1, start + given.height + 1)]
        filled["Name"] = pl.Series("Name", names, dtype=pl.String)
    return filled


def _default(filled: dict[str, pl.Series | pl.Expr], name: str, value: str) -> None:
    present = filled.get(name)
    if present is None:
        filled[name] = pl.lit(value).alias(name)
    elif isinstance(present, pl.Series) and present.null_count():
        filled[name] = present.fill_null(value)


def touched(org: Org, user: User, rows: pl.DataFrame) -> pl.DataFrame:
    """Rows that a user changed, with their stamps moved."""
    now = pl.lit(stamp(org.clock.now()))
    stamps = {"SystemModstamp": now, "LastModifiedDate": now, "LastModifiedById": pl.lit(user.id)}
    return rows.with_columns([value.alias(name) for name, value in stamps.items() if name in rows.columns])
