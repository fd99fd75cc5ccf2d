"""Person accounts: which accounts are persons, what each sort may hold, and the contact that each person has."""

from __future__ import annotations

import polars as pl

from holdfast.orgsim.rules.batch import Batch
from holdfast.orgsim.rules.following import follow, fresh_rows, stamped
from holdfast.orgsim.setup.person_accounts import NAME_PARTS, mirrored_fields

NOTE = "person account"


def person_accounts(batch: Batch) -> None:
    """Tell persons from businesses by record type, and refuse what the sort cannot hold."""
    if batch.obj.name != "Account" or batch.org.person_record_type is None:
        return
    if batch.operation == "insert":
        _begin(batch)
    person = batch.after["IsPersonAccount"] == "true"
    of_persons = {*NAME_PARTS, *(own for own, _ in mirrored_fields(batch.org))}
    for name in sorted(batch.given):
        if name == "Name" or name in of_persons:
            strange = (person if name == "Name" else ~person) & batch.gave(name) & batch.after[name].is_not_null()
            text = f"Account: bad field names on insert/update call: {name}"
            batch.refuse(strange, "INVALID_FIELD_FOR_INSERT_UPDATE", text, [name])
    for mask, name in ((person, "LastName"), (~person, "Name")):
        text = f"Required fields are missing: [{name}]"
        batch.refuse(mask & batch.after[name].is_null(), "REQUIRED_FIELD_MISSING", text, [name])
    parts = pl.concat_str([pl.col("FirstName"), pl.col("LastName")], separator=" ", ignore_nulls=True)
    batch.set("Name", parts, person)


def _begin(batch: Batch) -> None:
    """A new account with a last name and no record type is a person, too."""
    chosen = pl.col("RecordTypeId")
    named = pl.col("LastName").is_not_null()
    batch.set("RecordTypeId", batch.org.person_record_type, chosen.is_null() & named)
    person = batch.after.select(chosen.eq_missing(pl.lit(batch.org.person_record_type))).to_series()
    batch.set("IsPersonAccount", "true", person)
    count = int(person.sum())
    contact = batch.org.schema.objects["Contact"]
    ids = pl.Series([None], dtype=pl.String).new_from_index(0, batch.height)
    batch.set("PersonContactId", ids.scatter(person.arg_true(), batch.org.new_ids(contact, count)))


def person_contacts(batch: Batch) -> None:
    """The contact of a person is changed through the account only."""
    if batch.obj.name == "Contact" and batch.org.person_record_type is not None and batch.before is not None:
        mask = batch.was("IsPersonAccount") == "true"
        batch.refuse(mask, "INSUFFICIENT_ACCESS_OR_READONLY", "insufficient access rights on object id")


def mirror_persons(batch: Batch) -> None:
    """Make or change the contacts of persons that were saved."""
    if batch.obj.name != "Account" or batch.org.person_record_type is None:
        return
    persons = batch.filtered(batch.after["IsPersonAccount"] == "true")
    if not persons.height or batch.operation not in ("insert", "update"):
        return
    contact = batch.org.schema.objects["Contact"]
    values = persons.after.select(
        pl.col("PersonContactId").alias("Id"),
        pl.col("Id").alias("AccountId"),
        *[pl.col(name) for name in (*NAME_PARTS, "Name", "OwnerId")],
        *[pl.col(own).alias(field["name"]) for own, field in mirrored_fields(batch.org)],
        pl.lit("true").alias("IsPersonAccount"),
    )
    if batch.operation == "insert":
        flags = [n for n, f in contact.fields.items() if f["type"] == "boolean" and n not in values.columns]
        rows = fresh_rows(batch, contact, values.with_columns(pl.lit("false").alias(n) for n in flags))
        follow(batch, contact, "insert", None, rows, NOTE)
        return
    before = batch.org.table(contact).fetch(values["Id"])
    values = before.select("Id").join(values, on="Id", how="left", maintain_order="left")
    after = before.with_columns(values[name] for name in values.columns)
    names = [name for name in values.columns if name != "Id"]
    moved = pl.select(pl.any_horizontal(after[n].ne_missing(before[n]) for n in names)).to_series()
    follow(batch, contact, "update", before.filter(moved), stamped(batch, after.filter(moved)), NOTE)
