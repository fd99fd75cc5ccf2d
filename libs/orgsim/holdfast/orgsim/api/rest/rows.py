"""`/sobjects/{O}` and `/sobjects/{O}/{id}`: create, read, change and delete one record."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from holdfast.orgsim.api.rest.preconditions import require_unmodified, unchanged, validators
from holdfast.orgsim.api.rest.records import (
    existing,
    field_names,
    known_object,
    listed,
    note_use,
    printed,
    row_url,
    saver,
    target,
)
from holdfast.orgsim.api.rest.uploads import record_of
from holdfast.orgsim.api.web import DATA, Call, Reply, Router, json_reply
from holdfast.orgsim.errors import ApiError, not_found
from holdfast.orgsim.saving.listed import update_one
from holdfast.orgsim.saving.notes import insert_note, update_note
from holdfast.orgsim.schema.objects import SObject
from holdfast.orgsim.store.table import Row

router = Router(DATA + "/sobjects")


@router.add("POST", "/{object}")
async def create(call: Call) -> Reply:
    """Insert a record; with a file as multipart."""
    obj = known_object(call, call.params["object"])
    values = record_of(call)
    if any(name.lower() == "id" for name in values):
        raise ApiError(400, "INVALID_FIELD_FOR_INSERT_UPDATE", "cannot specify Id in an insert call", ["Id"])
    writer = saver(call)
    saved = insert_note(writer, values) if obj.name == "ContentNote" else writer.insert(obj, values)
    return created(call, obj, saved)


def created(call: Call, obj: SObject, saved: str) -> Reply:
    """The answer to an insert."""
    note_use(call, obj, saved)
    return json_reply({"id": saved, "success": True, "errors": []}, 201, {"Location": row_url(call, obj, saved)})


@router.add("GET", "/{object}/{id}")
async def read(call: Call) -> Reply:
    """One record, all fields or those of `?fields=`."""
    obj = known_object(call, call.params["object"])
    return answer_with(call, obj, call.params["id"])


def answer_with(call: Call, obj: SObject, wanted: str) -> Reply:
    """A living record, or 304 if the caller has it."""
    if not obj.describe["retrieveable"]:
        raise not_found()
    row = existing(call, obj, wanted)
    modified = _modified(row)
    if modified is not None and (same := unchanged(call, modified)) is not None:
        return same
    record = printed(call, obj, [str(row["Id"])], field_names(call, obj, listed(call, "fields")))[str(row["Id"])]
    return json_reply(record, headers=validators(modified) if modified else {})


@router.add("PATCH", "/{object}/{id}")
async def change(call: Call) -> Reply:
    """Update a record; with a file as multipart."""
    obj = known_object(call, call.params["object"])
    row = target(call, obj, call.params["id"])
    wanted, values = str(row["Id"]), record_of(call)
    refuse_key(values, "Id")
    _insist(call, row)
    if obj.name == "ContentNote":
        update_note(saver(call), wanted, values)
    else:
        update_one(saver(call), obj, wanted, values)
    note_use(call, obj, wanted)
    return Reply(204)


@router.add("DELETE", "/{object}/{id}")
async def delete(call: Call) -> Reply:
    """Move a record to the recycle bin."""
    obj = known_object(call, call.params["object"])
    row = target(call, obj, call.params["id"])
    _insist(call, row)
    wanted = str(row["Id"])
    saver(call).delete(wanted, call.org.schema.by_prefix(wanted[:3]))  # of a note, its document
    return Reply(204)


def refuse_key(values: dict[str, Any], key: str) -> None:
    """The field that the path names cannot stand in the body as well.

    Raises:
        ApiError: 400 INVALID_FIELD.
    """
    if any(name.lower() == key.lower() for name in values):
        raise ApiError(400, "INVALID_FIELD", f"The {key} field should not be specified in the sobject data.")


def _insist(call: Call, row: Row) -> None:
    modified = _modified(row)
    if modified is not None:
        require_unmodified(call, modified)


def _modified(row: Row) -> datetime | None:
    text = row.get("LastModifiedDate") or row.get("SystemModstamp")
    return None if text is None else datetime.fromisoformat(text)
