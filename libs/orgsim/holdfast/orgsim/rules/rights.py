"""Rules on who saves: rights on the object, sharing of the record, the owner that is named."""

from __future__ import annotations

import polars as pl

from holdfast.orgsim.auth.permissions import CREATE, EDIT
from holdfast.orgsim.auth.sharing import editable_rows
from holdfast.orgsim.rules.batch import Batch
from holdfast.orgsim.schema.objects import SObject

NO_RIGHT = "insufficient access rights on object id"


def may_save(batch: Batch) -> None:
    """The user needs the right to create or edit the object, and to edit the record."""
    user, name = batch.user, batch.obj.name
    everything = pl.Series([True]).new_from_index(0, batch.height)
    if batch.operation == "insert":
        if not user.allows(name, CREATE):
            text = f"entity type cannot be inserted: {batch.obj.describe['label']}"
            batch.refuse(everything, "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", text)
    elif not user.allows(name, EDIT):
        batch.refuse(everything, "INSUFFICIENT_ACCESS_OR_READONLY", NO_RIGHT)
    elif batch.before is not None:
        shared = editable_rows(batch.org, batch.obj, user)
        if shared is not None:
            mine = batch.before.select(shared.fill_null(False)).to_series()
            batch.refuse(~mine, "INSUFFICIENT_ACCESS_OR_READONLY", NO_RIGHT)


def may_delete(batch: Batch) -> None:
    """Who may not change a record by sharing may not delete it; details go with their master."""
    if batch.obj.traits.sharing != "ControlledByParent" and batch.before is not None:
        shared = editable_rows(batch.org, batch.obj, batch.user)
        if shared is not None:
            mine = batch.before.select(shared.fill_null(False)).to_series()
            batch.refuse(~mine, "INSUFFICIENT_ACCESS_OR_READONLY", NO_RIGHT)


def active_owner(batch: Batch) -> None:
    """A record cannot be given to a user who is switched off, unless the caller may use inactive owners."""
    if "OwnerId" not in batch.given or batch.user.may("UpdateWithInactiveOwner"):
        return
    inactive = [user.id for user in batch.org.users.values() if not user.active]
    if inactive:
        mask = pl.col("OwnerId").is_in(inactive) & batch.changed("OwnerId")
        owner = pl.col("OwnerId").fill_null("").str.slice(0, 15)
        text = pl.concat_str(pl.lit("operation performed with inactive user ["), owner,
                             pl.lit(f"] as owner of {batch.obj.describe['label'].lower()}"))  # fmt: skip
        batch.refuse(mask, "INACTIVE_OWNER_OR_USER", text)


def users_follow_rows(batch: Batch) -> None:
    """A user whose row was saved can sign in, or no longer can."""
    if batch.obj.name != "User" or batch.operation not in ("insert", "update"):
        return
    for row in batch.after.iter_rows(named=True):
        batch.org.follow_user(row)


def record_types(batch: Batch) -> None:
    """A record type must be one of the object, and active where it is newly chosen."""
    if "RecordTypeId" not in batch.obj.fields or not (batch.operation == "insert" or "RecordTypeId" in batch.given):
        return
    _default_record_type(batch)
    infos = batch.obj.describe["recordTypeInfos"]
    usable = [info["recordTypeId"] for info in infos if info["active"]]
    chosen = pl.col("RecordTypeId")
    text = pl.concat_str(pl.lit("Record Type ID: this ID value isn't valid for the user: "), chosen.fill_null(""))
    mask = chosen.is_not_null() & ~chosen.is_in(usable) & batch.changed("RecordTypeId")
    batch.refuse(mask, "INVALID_CROSS_REFERENCE_KEY", text, ["RecordTypeId"])


def _default_record_type(batch: Batch) -> None:
    default = default_record_type(batch.obj)
    if batch.operation == "insert" and default is not None:
        batch.set("RecordTypeId", default, pl.col("RecordTypeId").is_null())


def default_record_type(obj: SObject) -> str | None:
    """The record type that a new record gets; None for the master record type."""
    found = (i for i in obj.describe["recordTypeInfos"] if i["defaultRecordTypeMapping"] and not i["master"])
    info = next(found, None)
    return None if info is None else str(info["recordTypeId"])
