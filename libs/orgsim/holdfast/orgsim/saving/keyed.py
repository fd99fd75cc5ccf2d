"""Records of big objects, which have no id but a key: writing the same key again replaces the record.

Source: Salesforce, Big Objects Implementation Guide, "Populate a Custom Big Object" and "Delete Data in a Custom Big
Object".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from holdfast.orgsim.errors import ApiError
from holdfast.orgsim.org import Org
from holdfast.orgsim.saving.given import Given
from holdfast.orgsim.schema.columns import canonical_column
from holdfast.orgsim.schema.objects import SObject

_BETWEEN = "\x1f"


def keys_of(obj: SObject, rows: Mapping[str, pl.Series], height: int) -> pl.Series:
    """The key of each row as one text."""
    nothing = pl.Series([None], dtype=pl.String).new_from_index(0, height)
    parts = [rows.get(each.name, nothing).alias(f"{n}").fill_null("\x00") for n, each in enumerate(obj.traits.index)]
    return pl.DataFrame(parts).select(pl.concat_str(pl.all(), separator=_BETWEEN).alias("key")).to_series()


def held(org: Org, obj: SObject, keys: pl.Series) -> pl.Series:
    """Ids, which nobody sees, of the records that have these keys; null for keys of none."""
    frame = org.table(obj).frame()
    known = pl.DataFrame([keys_of(obj, frame.to_dict(), frame.height), frame["Id"]])
    return keys.to_frame("key").join(known, on="key", how="left", maintain_order="left")["Id"]


def without_nulls(given: Given) -> Given:
    """What of a row replaces a record's values: an empty value leaves what is there."""
    kept = Given(given.rows)
    kept.refusals = given.refusals
    for name, values in given.columns.items():
        mask = values.is_not_null() & given.gives.get(name, pl.Series([True]).new_from_index(0, given.height))
        kept.add(name, values, mask)
    return kept


def delete_by_example(org: Org, obj: SObject, example: Mapping[str, Any], *, who: str, api: str) -> None:
    """Delete the record with exactly this key, for good.

    Raises:
        ApiError: the example is not the whole index, or has other fields.
    """
    index = [each.name for each in obj.traits.index]
    if not index or {name.lower() for name in example} != {name.lower() for name in index}:
        raise ApiError(400, "INVALID_FIELD", "deleteByExample needs every field of the index, and no other", [])
    named = {name.lower(): value for name, value in example.items()}
    columns = {name: canonical_column(obj.fields[name], pl.Series([named[name.lower()]]))[0] for name in index}
    found = held(org, obj, keys_of(obj, columns, 1)).drop_nulls()
    if len(found):
        org.transactions.save(obj, "harddelete", org.table(obj).fetch(found), None, who=who, api=api)
