"""Saves of JSON records of one object in lists, each with its own outcome, as collections, trees and SOAP take them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from holdfast.orgsim.errors import ApiError
from holdfast.orgsim.saving.saver import Saver
from holdfast.orgsim.saving.writing import Writer
from holdfast.orgsim.schema.objects import SObject

Record = Mapping[str, Any]
Outcome = tuple[str | None, bool, ApiError | None]  # id, whether it was created, why it was refused


def insert_listed(writer: Writer, obj: SObject, records: Sequence[Record]) -> list[Outcome]:
    """Save new records; one that names its own id is refused."""
    plain, keys = _without(records, "Id")
    given = writer.given(obj, plain)
    named = pl.Series([key is not None for key in keys], dtype=pl.Boolean)
    message = "cannot specify Id in an insert call"
    given.refusals.add(named, "INVALID_FIELD_FOR_INSERT_UPDATE", message, ["Id"])
    return list(writer.insert_many(obj, given))


def update_listed(writer: Writer, obj: SObject, records: Sequence[Record]) -> list[Outcome]:
    """Change living records by their `Id`."""
    plain, keys = _without(records, "Id")
    given = writer.given(obj, plain)
    return [_crossed(o) for o in writer.update_many(obj, pl.Series(keys, dtype=pl.String), given)]


def update_one(writer: Writer, obj: SObject, record_id: str, values: Record) -> None:
    """Change one living record that its caller has seen.

    Raises:
        ApiError: a rule refused it.
    """
    writer.update_many(obj, pl.Series([record_id]), writer.given(obj, [values])).single()


def upsert_listed(writer: Writer, obj: SObject, field: str, records: Sequence[Record]) -> list[Outcome]:
    """Insert or update records by a key field.

    Raises:
        ApiError: 404, the field is no key.
    """
    plain, keys = _without(records, field)
    given = writer.given(obj, plain)
    return [_crossed(o) for o in writer.upsert_many(obj, field, pl.Series(keys, dtype=pl.String), given)]


def delete_listed(saver: Saver, ids: Sequence[str]) -> list[Outcome]:
    """Move records of any objects to the recycle bin."""
    return [_crossed(o) for o in saver.delete_many(pl.Series(ids, dtype=pl.String))]


def _without(records: Sequence[Record], key: str) -> tuple[list[dict[str, Any]], list[str | None]]:
    """Records without a field, and its values as text."""
    lowered = key.lower()
    plain: list[dict[str, Any]] = []
    values: list[str | None] = []
    for record in records:
        value = next((v for name, v in record.items() if name.lower() == lowered), None)
        values.append(None if value is None else str(value))
        plain.append({name: v for name, v in record.items() if name.lower() != lowered})
    return plain, values


def _crossed(outcome: Outcome) -> Outcome:
    """In a list a record that is not there is an invalid cross reference."""
    record_id, created, error = outcome
    if error is not None and error.code == "NOT_FOUND":
        error = ApiError(error.status, "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", [])
    return record_id, created, error
