"""Rules on single fields: may it be set, must it be set, does the value fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import polars as pl

from holdfast.orgsim.rules.batch import Batch

AUDIT_FIELDS = frozenset({"CreatedDate", "CreatedById", "LastModifiedDate", "LastModifiedById"})
ADDRESS = r"^[^@\s,;<>\"()]+@[^@\s,;<>\"()]+\.[^@\s.,;<>\"()]+$"
NUMBER_TYPES = frozenset({"double", "currency", "percent"})


def writeable(batch: Batch) -> None:
    """Only fields that the describe calls createable or updateable can be set."""
    inserting = batch.operation == "insert"
    key = "createable" if inserting else "updateable"
    audits = inserting and (batch.options.audit_fields or batch.user.may("CreateAuditFields"))
    allowed = AUDIT_FIELDS if audits else frozenset()
    fixed = [name for name in sorted(batch.given) if name not in allowed and not _settable(batch, name, key)]
    _refuse_together(
        batch,
        {name: batch.gave(name) for name in fixed},
        "INVALID_FIELD_FOR_INSERT_UPDATE",
        lambda names: (
            f"Unable to create/update fields: {', '.join(names)}. Please check the security settings of this field "
            "and verify that it is read/write for your profile or permission set."
        ),
    )


def _settable(batch: Batch, name: str, key: str) -> bool:
    """Whether describe and field permissions let the user set the field."""
    field = batch.obj.fields[name]
    return bool(field[key]) and (not field["permissionable"] or batch.user.edits_field(batch.obj.name, name))


def required(batch: Batch) -> None:
    """Fields that cannot be empty and have no default."""
    inserting = batch.operation == "insert"
    empty = {}
    for name in batch.obj.fields if inserting else sorted(batch.given):
        field = batch.obj.fields[name]
        optional = field["nillable"] or field["defaultedOnCreate"] or field["type"] == "boolean"
        if not optional and (field["createable"] or name in batch.given):
            missing = batch.after[name].is_null()
            if missing.any():
                empty[name] = missing if inserting else missing & batch.gave(name)
    _refuse_together(
        batch, empty, "REQUIRED_FIELD_MISSING", lambda names: f"Required fields are missing: [{', '.join(names)}]"
    )


def _refuse_together(
    batch: Batch, masks: Mapping[str, pl.Series], code: str, message: Callable[[Sequence[str]], str]
) -> None:
    """Refuse each row with one error that names all of its wrong fields."""
    if not masks:
        return
    wrong = pl.DataFrame([mask.alias(name) for name, mask in masks.items()])
    for pattern in wrong.unique(maintain_order=True).rows():
        names = [name for name, bad in zip(masks, pattern, strict=True) if bad]
        if names:
            alike = pl.all_horizontal(pl.col(n) == bad for n, bad in zip(masks, pattern, strict=True))
            batch.refuse(wrong.select(alike).to_series(), code, message(names), names)


def length(batch: Batch) -> None:
    """Text longer than its field."""
    limits = {
        name: field["length"]
        for name, field in ((n, batch.obj.fields[n]) for n in sorted(batch.given))
        if field["length"] and field["soapType"] == "xsd:string"
    }
    if not limits:
        return
    longest = batch.after.select(pl.col(name).str.len_chars().max() for name in limits).row(0)
    for (name, limit), most in zip(limits.items(), longest, strict=True):
        if most is not None and most > limit:
            start = f"{batch.obj.fields[name]['label']}: data value too large: "
            shown = pl.col(name).fill_null("").str.slice(0, 255)
            message = pl.concat_str(pl.lit(start), shown, pl.lit(f" (max length={limit})"))
            batch.refuse((pl.col(name).str.len_chars() > limit) & batch.gave(name), "STRING_TOO_LONG", message, [name])


def picklist(batch: Batch) -> None:
    """Values that a restricted picklist does not list."""
    for name in sorted(batch.given):
        field = batch.obj.fields[name]
        if not field["restrictedPicklist"]:
            continue
        allowed = {entry["value"] for entry in field["picklistValues"] if entry["active"]}
        several = field["type"] == "multipicklist"
        values = batch.after[name].drop_nulls().unique().to_list()
        wrong = [v for v in values if not set(v.split(";") if several else [v]) <= allowed]
        if wrong:
            start = f"{field['label']}: bad value for restricted picklist field: "
            message = pl.concat_str(pl.lit(start), pl.col(name).fill_null(""))
            mask = pl.col(name).is_in(wrong) & batch.gave(name)
            batch.refuse(mask, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", message, [name])


def email(batch: Batch) -> None:
    """Addresses that cannot be ones."""
    for name in sorted(batch.given):
        field = batch.obj.fields[name]
        if field["type"] == "email":
            wrong = ~pl.col(name).str.contains(ADDRESS)
            start = f"{field['label']}: invalid email address: "
            message = pl.concat_str(pl.lit(start), pl.col(name).fill_null(""))
            batch.refuse(wrong & batch.gave(name), "INVALID_EMAIL_ADDRESS", message, [name])


def number_range(batch: Batch) -> None:
    """Numbers with more digits before the point than their field has room for."""
    rooms = {name: _digits(batch.obj.fields[name]) for name in sorted(batch.given)}
    whole = {n: pl.col(n).str.strip_prefix("-").str.split(".").list.first() for n, room in rooms.items() if room}
    if not whole:
        return
    longest = batch.after.select(digits.str.len_chars().max().alias(name) for name, digits in whole.items()).row(0)
    for (name, digits), most in zip(whole.items(), longest, strict=True):
        if most is not None and most > rooms[name]:
            start = f"{batch.obj.fields[name]['label']}: value outside of valid range on numeric field: "
            message = pl.concat_str(pl.lit(start), pl.col(name).fill_null(""))
            mask = (digits.str.len_chars() > rooms[name]) & batch.gave(name)
            batch.refuse(mask, "NUMBER_OUTSIDE_VALID_RANGE", message, [name])


def _digits(field: Mapping[str, Any]) -> int:
    """Digits before the point; 0 where there is no limit."""
    if field["type"] in NUMBER_TYPES:
        return int(field["precision"]) - int(field["scale"])
    return int(field["digits"]) if field["type"] == "int" else 0
