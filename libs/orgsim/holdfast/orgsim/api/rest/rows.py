"""Single records: create, read, change, delete, upsert by external id, and their file bodies."""

from __future__ import annotations

import base64
from typing import Any

from holdfast.orgsim import ids
from holdfast.orgsim.api.rest import render
from holdfast.orgsim.api.web import DATA, Call, Reply, Router, json_reply
from holdfast.orgsim.errors import ApiError, no_such_column, not_found
from holdfast.orgsim.saving.deleting import Deleter
from holdfast.orgsim.saving.writing import AmbiguousKeyError
from holdfast.orgsim.schema.objects import SObject
from holdfast.orgsim.soql import ast
from holdfast.orgsim.soql.evaluate import run

router = Router(DATA + "/sobjects")
API = "REST"


def known_object(call: Call, name: str) -> SObject:
    """The object of a path.

    Raises:
        ApiError: 404 if it does not exist or the user may not read it.
    """
    obj = call.org.schema.find(name)
    if obj is None or not call.user.reads(obj.name):
        raise not_found()
    return obj


def record_id(text: str) -> str:
    """The id of a path in 18 characters.

    Raises:
        ApiError: 404 for anything else.
    """
    found = ids.normalise(text)
    if found is None:
        raise ApiError(404, "NOT_FOUND", f"Provided external ID field does not exist or is not accessible: {text}")
    return found


@router.add("POST", "/{object}")
async def create(call: Call) -> Reply:
    """Insert a record."""
    obj = known_object(call, call.params["object"])
    new_id = Deleter(call.org, call.user, API).insert(obj, call.json_object())
    location = f"/services/data/v{call.version}/sobjects/{obj.name}/{new_id}"
    return json_reply({"id": new_id, "success": True, "errors": []}, 201, {"Location": location})


@router.add("GET", "/{object}/{id}")
async def read(call: Call) -> Reply:
    """One record, all fields or those of `?fields=`."""
    obj = known_object(call, call.params["object"])
    wanted = record_id(call.params["id"])
    Deleter(call.org, call.user, API).living(wanted, obj)
    return json_reply(one(call, obj, wanted, _names(call.query.get("fields"))))


def one(call: Call, obj: SObject, wanted: str, names: list[str] | None) -> dict[str, Any]:
    """A living record as REST prints it."""
    chosen = names or [n for n in obj.fields if call.user.reads_field(obj.name, n)]
    items = tuple(ast.FieldItem(tuple(name.split("."))) for name in chosen)
    where = ast.Comparison(ast.Operand(("Id",)), "=", ast.Literal("string", wanted))
    result = run(call.org, ast.Query(items, obj.name, where=where), call.user)
    return render.records(call.org, result, call.version, 0, 1)[0]


def _names(text: str | None) -> list[str] | None:
    return [name.strip() for name in text.split(",") if name.strip()] if text else None


@router.add("PATCH", "/{object}/{id}")
async def change(call: Call) -> Reply:
    """Update a record."""
    obj = known_object(call, call.params["object"])
    Deleter(call.org, call.user, API).update(record_id(call.params["id"]), call.json_object(), obj)
    return Reply(204)


@router.add("DELETE", "/{object}/{id}")
async def delete(call: Call) -> Reply:
    """Move a record to the recycle bin."""
    obj = known_object(call, call.params["object"])
    Deleter(call.org, call.user, API).delete(record_id(call.params["id"]), obj)
    return Reply(204)


@router.add("PATCH", "/{object}/{field}/{value}")
async def upsert(call: Call) -> Reply:
    """Insert or update by external id: 201, 200 (204 before v46) or 300 with the candidates."""
    obj = known_object(call, call.params["object"])
    base = f"/services/data/v{call.version}/sobjects/{obj.name}/"
    try:
        saved, created = Deleter(call.org, call.user, API).upsert(
            obj, call.params["field"], call.params["value"], call.json_object()
        )
    except AmbiguousKeyError as several:
        return json_reply([base + i for i in several.ids], 300)
    if not created and float(call.version) < 46:
        return Reply(204)
    body = {"id": saved, "success": True, "errors": [], "created": created}
    return json_reply(body, 201 if created else 200, {"Location": base + saved} if created else {})


@router.add("GET", "/{object}/{id}/{field}")
async def blob(call: Call) -> Reply:
    """The bytes of a file field; or a record by external id."""
    obj = known_object(call, call.params["object"])
    field = obj.find(call.params["field"])
    if field is None or field["type"] != "base64":
        return _by_external_id(call, obj)
    _, row = Deleter(call.org, call.user, API).living(record_id(call.params["id"]), obj)
    content_type = row.get("ContentType") or "application/octet-stream"
    return Reply(200, base64.b64decode(row[field["name"]] or ""), content_type)


def _by_external_id(call: Call, obj: SObject) -> Reply:
    field = obj.find(call.params["id"])
    if field is None:
        raise no_such_column(call.params["id"], obj.name)
    found = Deleter(call.org, call.user, API).ids_by(obj, field, call.params["field"])
    if not found:
        raise not_found()
    if len(found) > 1:
        return json_reply([f"/services/data/v{call.version}/sobjects/{obj.name}/{i}" for i in found], 300)
    return json_reply(one(call, obj, found[0], _names(call.query.get("fields"))))
