"""`/sobjects/{O}/{field}/{value}`: one record by an external id."""

from __future__ import annotations

from typing import Any

from holdfast.orgsim.api.rest.records import known_object, note_use, row_url, saver
from holdfast.orgsim.api.rest.rows import answer_with, create, refuse_key
from holdfast.orgsim.api.rest.uploads import record_of
from holdfast.orgsim.api.web import Call, Reply, json_reply
from holdfast.orgsim.errors import not_found
from holdfast.orgsim.saving.writing import AmbiguousKeyError
from holdfast.orgsim.schema.objects import SObject

VERSION_OF_UPSERT_BODY = 46.0  # before it an update by upsert had no body


async def insert(call: Call) -> Reply:
    """`POST /{O}/Id`: insert a record under an id that the platform chooses."""
    if call.params["field"].lower() != "id":
        raise not_found()
    return await create(call)


async def read(call: Call) -> Reply:
    """The record with this value; 300 with their addresses if there are several."""
    obj = known_object(call, call.params["object"])
    found = _matches(call, obj)
    if len(found) > 1:
        return _several(call, obj, found)
    return answer_with(call, obj, _only(found))


async def delete(call: Call) -> Reply:
    """Move the record with this value to the recycle bin."""
    obj = known_object(call, call.params["object"])
    found = _matches(call, obj)
    if len(found) > 1:
        return _several(call, obj, found)
    saver(call).delete(_only(found), obj)
    return Reply(204)


async def upsert(call: Call) -> Reply:
    """Insert or update: 201, 200 (204 before v46) or 300 with the candidates. `?updateOnly=true` inserts nothing."""
    obj = known_object(call, call.params["object"])
    field, value, values = call.params["field"], call.params["value"], record_of(call)
    refuse_key(values, _key(obj, field)["name"])
    if call.query.get("updateOnly", "").lower() == "true" and not _matches(call, obj):
        raise not_found()
    try:
        saved, created = saver(call).upsert(obj, field, value, values)
    except AmbiguousKeyError as several:
        return _several(call, obj, several.ids)
    note_use(call, obj, saved)
    if not created and float(call.version) < VERSION_OF_UPSERT_BODY:
        return Reply(204)
    body = {"id": saved, "success": True, "errors": [], "created": created}
    return json_reply(body, 201 if created else 200, {"Location": row_url(call, obj, saved)} if created else {})


def _key(obj: SObject, name: str) -> dict[str, Any]:
    field = obj.find(name)
    if field is None or not (field["externalId"] or field["idLookup"]):
        raise not_found(f"Provided external ID field does not exist or is not accessible: {name}")
    return field


def _matches(call: Call, obj: SObject) -> list[str]:
    return saver(call).ids_by(obj, _key(obj, call.params["field"]), call.params["value"])


def _only(found: list[str]) -> str:
    if not found:
        raise not_found()
    return found[0]


def _several(call: Call, obj: SObject, found: list[str]) -> Reply:
    return json_reply([row_url(call, obj, i) for i in found], 300)
